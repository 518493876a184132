#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "support/catch.h"

namespace anomalyd::http::testing {

struct FreeX509 {
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(BIO* bio) const { BIO_free(bio); }
};
template <class T>
using OwnedX509 = std::unique_ptr<T, FreeX509>;

/// What a certificate is made of.
struct CertificateWish {
  std::string name = "127.0.0.1";
  std::string alternatives = "IP:127.0.0.1";  ///< subjectAltName; empty: none
  long begins_in = -3600;                     ///< seconds from now
  long ends_in = 3600;
  bool is_authority = false;
};

/// A key with its certificate, as PEM.
class Identity {
 public:
  /// Signed by `issuer`, or by itself.
  explicit Identity(const CertificateWish& wish, const Identity* issuer = nullptr)
      : key_(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")), certificate_(X509_new()) {
    static long serial = 1;
    X509* one = certificate_.get();
    X509_set_version(one, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(one), serial++);
    X509_gmtime_adj(X509_getm_notBefore(one), wish.begins_in);
    X509_gmtime_adj(X509_getm_notAfter(one), wish.ends_in);
    X509_set_pubkey(one, key_.get());
    X509_NAME* name = X509_get_subject_name(one);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(wish.name.c_str()), -1, -1,
                               0);
    const Identity& signer = issuer == nullptr ? *this : *issuer;
    X509_set_issuer_name(one, X509_get_subject_name(signer.certificate_.get()));
    if (wish.is_authority) add(NID_basic_constraints, "critical,CA:TRUE");
    if (!wish.alternatives.empty()) add(NID_subject_alt_name, wish.alternatives);
    REQUIRE(X509_sign(one, signer.key_.get(), EVP_sha256()) > 0);
  }

  std::string certificate() const {
    OwnedX509<BIO> out(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(out.get(), certificate_.get());
    return text_of(out.get());
  }
  /// With a password it is encrypted.
  std::string key(const std::string& password = {}) const {
    OwnedX509<BIO> out(BIO_new(BIO_s_mem()));
    const auto* bytes = reinterpret_cast<const unsigned char*>(password.data());
    PEM_write_bio_PrivateKey(out.get(), key_.get(), password.empty() ? nullptr : EVP_aes_128_cbc(),
                             password.empty() ? nullptr : bytes, static_cast<int>(password.size()),
                             nullptr, nullptr);
    return text_of(out.get());
  }

 private:
  void add(int what, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value.c_str());
    REQUIRE(extension != nullptr);
    X509_add_ext(certificate_.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  static std::string text_of(BIO* bio) {
    std::string text(BIO_ctrl_pending(bio), '\0');
    BIO_read(bio, text.data(), static_cast<int>(text.size()));
    return text;
  }

  OwnedX509<EVP_PKEY> key_;
  OwnedX509<X509> certificate_;
};

inline CertificateWish authority_wish(const std::string& name = "test authority") {
  CertificateWish wish;
  wish.name = name;
  wish.alternatives.clear();
  wish.is_authority = true;
  return wish;
}

/// Files in a folder that is gone with the object.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "anomalyd_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
    using std::filesystem::perms;
    std::filesystem::permissions(path_ / name, perms::owner_read | perms::owner_write);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace anomalyd::http::testing
