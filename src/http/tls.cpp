#include "http/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>
#include <string_view>

#include "base/check.h"
#include "base/time.h"
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

/// What a context is made from, and what of it is told apart.
struct Loading {
  SSL_CTX* context;
  std::string& fingerprint;
};

Result<Owned<BIO>> open_pem(const Loading& loading, const std::filesystem::path& path,
                            Secrecy secrecy, std::string& text) {
  auto read = read_secret_file(path, kMaxPemBytes, secrecy);
  if (!read.ok()) return read.error();
  text = std::move(read).value();
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  loading.fingerprint.append(digest.begin(), digest.end());
  Owned<BIO> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  ANOMALYD_CHECK(bio != nullptr, "memory for a BIO");
  return bio;
}

bool is_end_of_pem() {
  const unsigned long code = ERR_peek_last_error();
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

/// A certificate and what it is signed by.
Status use_certificate(const Loading& loading, const std::filesystem::path& path) {
  SSL_CTX* context = loading.context;
  std::string text;
  const auto bio = open_pem(loading, path, Secrecy::kPublic, text);
  if (!bio.ok()) return bio.error();
  Owned<X509> own(PEM_read_bio_X509(bio.value().get(), nullptr, no_password, nullptr));
  if (own == nullptr) {
    return refuse(path, "no certificate in it (" + openssl_error() +
                            "), expected PEM: -----BEGIN CERTIFICATE-----");
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

Status use_key(const Loading& loading, const std::filesystem::path& path) {
  SSL_CTX* context = loading.context;
  std::string text;
  const auto bio = open_pem(loading, path, Secrecy::kSecret, text);
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

/// Trusts the certificates of a file, also those that another has signed. `names` also tells them
/// to clients that choose by them.
Status trust(const Loading& loading, const std::filesystem::path& path, bool names) {
  SSL_CTX* context = loading.context;
  std::string text;
  const auto bio = open_pem(loading, path, Secrecy::kPublic, text);
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
  // Whoever names an intermediate means it, and not all that its root has signed.
  X509_STORE_set_flags(SSL_CTX_get_cert_store(context), X509_V_FLAG_PARTIAL_CHAIN);
  return Done{};
}

/// Seconds since 1970.
std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? std::int64_t{timegm(&parts)} : 0;
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

void TlsContext::note_validity() {
  const X509* own = SSL_CTX_get0_certificate(context_);
  not_before_ = seconds_of(X509_get0_notBefore(own));
  not_after_ = seconds_of(X509_get0_notAfter(own));
}

std::string TlsContext::validity_problem(std::int64_t now_s) const {
  const auto text = [](std::int64_t seconds) {
    // Beyond what nanoseconds hold, the year tells enough.
    const auto most = std::numeric_limits<TimeNs>::max() / kNsPerSecond;
    return to_rfc3339(std::clamp<std::int64_t>(seconds, 0, most) * kNsPerSecond);
  };
  if (not_after_ != 0 && now_s > not_after_) {
    return "the certificate is over since " + text(not_after_) + ", expected one that is valid now";
  }
  if (now_s < not_before_) {
    return "the certificate is not valid yet, only from " + text(not_before_) +
           ", expected one that is valid now";
  }
  return {};
}

Result<std::shared_ptr<const TlsContext>> TlsContext::server(const TlsFiles& files) {
  // Owned at once, so that every way out frees it. make_shared cannot reach the constructor.
  std::shared_ptr<TlsContext> made(new TlsContext(make_context(TLS_server_method())));
  SSL_CTX* context = made->native();
  const Loading loading{context, made->fingerprint_};
  // Sessions are the clients' to keep (tickets): here none takes memory.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  static constexpr std::string_view kIdContext = "anomalyd";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kIdContext.data()),
                                 static_cast<unsigned>(kIdContext.size()));
  Status status = use_certificate(loading, files.certificate);
  if (status.ok()) status = use_key(loading, files.key);
  if (status.ok() && !files.client_ca.empty()) {
    status = trust(loading, files.client_ca, true);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (!status.ok()) return status.error();
  made->note_validity();
  return std::shared_ptr<const TlsContext>(std::move(made));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::client(const ClientTlsFiles& files) {
  std::shared_ptr<TlsContext> made(new TlsContext(make_context(TLS_client_method())));
  SSL_CTX* context = made->native();
  const Loading loading{context, made->fingerprint_};
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (!files.ca.empty()) {
    const Status status = trust(loading, files.ca, false);
    if (!status.ok()) return status.error();
  } else if (SSL_CTX_set_default_verify_paths(context) != 1) {
    return Error{ErrorCode::kInvalidArgument, "the system's certificates: " + openssl_error()};
  }
  if (files.certificate.empty() != files.key.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "a client's certificate and its key: expected both or neither"};
  }
  if (!files.certificate.empty()) {
    Status status = use_certificate(loading, files.certificate);
    if (status.ok()) status = use_key(loading, files.key);
    if (!status.ok()) return status.error();
    made->note_validity();
    const std::string problem = made->validity_problem(std::time(nullptr));
    if (!problem.empty()) return refuse(files.certificate, problem);
  }
  return std::shared_ptr<const TlsContext>(std::move(made));
}

}  // namespace anomalyd::http
