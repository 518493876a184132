#include "http/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <string_view>

#include "base/check.h"
#include "http/secret_file.h"

namespace anomalyd::http {
namespace {

constexpr std::size_t kMaxPemBytes = 1UL << 20U;
// Of TLS 1.2; those of 1.3 are all good.
constexpr const char* kCiphers = "ECDHE+AESGCM:ECDHE+CHACHA20";

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

/// The first of OpenSSL's errors, which is the cause of the others; takes them all off the queue.
std::string openssl_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "error " + std::to_string(code) : reason;
}

Error refuse(const std::filesystem::path& path, const std::string& what) {
  ERR_clear_error();
  return Error{ErrorCode::kInvalidArgument, path.string() + ": " + what};
}

/// OpenSSL would ask at the terminal.
int no_password(char*, int, int, void*) { return -1; }

Result<Owned<BIO>> open_pem(const std::filesystem::path& path, std::string& text) {
  auto read = read_secret_file(path, kMaxPemBytes);
  if (!read.ok()) return read.error();
  text = std::move(read).value();
  Owned<BIO> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  ANOMALYD_CHECK(bio != nullptr, "memory for a BIO");
  return bio;
}

bool is_end_of_pem() {
  const unsigned long code = ERR_peek_last_error();
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/// A certificate and what it is signed by.
Status use_certificate(SSL_CTX* context, const std::filesystem::path& path) {
  std::string text;
  const auto bio = open_pem(path, text);
  if (!bio.ok()) return bio.error();
  Owned<X509> own(PEM_read_bio_X509(bio.value().get(), nullptr, no_password, nullptr));
  if (own == nullptr) {
    return refuse(path, "no certificate in it (" + openssl_error() +
                            "), expected PEM: -----BEGIN CERTIFICATE-----");
  }
  if (X509_cmp_current_time(X509_get0_notAfter(own.get())) < 0) {
    return refuse(path, "the certificate is over, expected one that is valid now");
  }
  if (X509_cmp_current_time(X509_get0_notBefore(own.get())) > 0) {
    return refuse(path, "the certificate is not valid yet, expected one that is valid now");
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1) return refuse(path, openssl_error());
  for (;;) {
    Owned<X509> next(PEM_read_bio_X509(bio.value().get(), nullptr, no_password, nullptr));
    if (next == nullptr) break;
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1) return refuse(path, openssl_error());
  }
  if (!is_end_of_pem()) return refuse(path, openssl_error());
  ERR_clear_error();
  return Done{};
}

Status use_key(SSL_CTX* context, const std::filesystem::path& path) {
  std::string text;
  const auto bio = open_pem(path, text);
  if (!bio.ok()) return bio.error();
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.value().get(), nullptr, no_password, nullptr));
  OPENSSL_cleanse(text.data(), text.size());
  if (key == nullptr) {
    const unsigned long code = ERR_peek_last_error();
    if (ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_BAD_PASSWORD_READ) {
      return refuse(path, "the key has a password, expected one without");
    }
    return refuse(path, "no private key in it (" + openssl_error() + "), expected PEM");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return refuse(path, "not the key of the certificate (" + openssl_error() + ")");
  }
  return Done{};
}

/// Trusts the certificates of a file. `names` also tells them to clients that choose by them.
Status trust(SSL_CTX* context, const std::filesystem::path& path, bool names) {
  std::string text;
  const auto bio = open_pem(path, text);
  if (!bio.ok()) return bio.error();
  std::size_t count = 0;
  for (;; ++count) {
    Owned<X509> one(PEM_read_bio_X509(bio.value().get(), nullptr, no_password, nullptr));
    if (one == nullptr) break;
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), one.get()) != 1 ||
        (names && SSL_CTX_add_client_CA(context, one.get()) != 1)) {
      return refuse(path, openssl_error());
    }
  }
  if (!is_end_of_pem()) return refuse(path, openssl_error());
  if (count == 0) {
    return refuse(path, "no certificate in it, expected PEM: -----BEGIN CERTIFICATE-----");
  }
  ERR_clear_error();
  return Done{};
}

SSL_CTX* make_context(const SSL_METHOD* method) {
  ERR_clear_error();
  SSL_CTX* context = SSL_CTX_new(method);
  ANOMALYD_CHECK(context != nullptr, "memory for TLS");
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
  const int has_ciphers = SSL_CTX_set_cipher_list(context, kCiphers);
  ANOMALYD_CHECK(has_ciphers == 1, "the list of ciphers");
  return context;
}

}  // namespace

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const TlsFiles& files) {
  // Owned at once, so that every way out frees it. make_shared cannot reach the constructor.
  std::shared_ptr<const TlsContext> made(new TlsContext(make_context(TLS_server_method())));
  SSL_CTX* context = made->native();
  // Sessions are the clients' to keep (tickets): here none takes memory.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  static constexpr std::string_view kIdContext = "anomalyd";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kIdContext.data()),
                                 static_cast<unsigned>(kIdContext.size()));
  Status status = use_certificate(context, files.certificate);
  if (status.ok()) status = use_key(context, files.key);
  if (status.ok() && !files.client_ca.empty()) {
    status = trust(context, files.client_ca, true);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (!status.ok()) return status.error();
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const ClientTlsFiles& files) {
  std::shared_ptr<const TlsContext> made(new TlsContext(make_context(TLS_client_method())));
  SSL_CTX* context = made->native();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (!files.ca.empty()) {
    const Status status = trust(context, files.ca, false);
    if (!status.ok()) return status.error();
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return Error{ErrorCode::kInvalidArgument, "the system's certificates: " + openssl_error()};
  }
  if (files.certificate.empty() != files.key.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "a client's certificate and its key: expected both or neither"};
  }
  if (!files.certificate.empty()) {
    Status status = use_certificate(context, files.certificate);
    if (status.ok()) status = use_key(context, files.key);
    if (!status.ok()) return status.error();
  }
  return made;
}

}  // namespace anomalyd::http
