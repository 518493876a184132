#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/result.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX, which only the .cpp files of this module look into

namespace anomalyd::http {

/// Where a server's certificate comes from. A path may be `credential:NAME` (see
/// read_secret_file).
struct TlsFiles {
  std::filesystem::path certificate;  ///< PEM: the server's own first, then what it is signed by
  std::filesystem::path key;          ///< PEM, without a password
  std::filesystem::path client_ca;    ///< PEM; not empty: only clients with a certificate of these
};

/// What a client trusts and shows.
struct ClientTlsFiles {
  std::filesystem::path ca;           ///< PEM; empty: the system's own
  std::filesystem::path certificate;  ///< PEM, for a server that asks for one; empty: none
  std::filesystem::path key;
};

/// The settings of TLS connections: TLS 1.2 or newer, ciphers with forward secrecy only, no
/// renegotiation, no compression.
/// Threads   const is safe to share.
class TlsContext {
 public:
  /// Reads the files now; what changes in them later is of no effect on this one. A certificate
  /// that is not valid now is taken, see validity_problem(): clients will refuse it, but a daemon
  /// that does not start helps nobody.
  /// Errors   kNotFound or kInvalidArgument: "file: what", also for a key with a password and one
  ///          that is not the certificate's.
  static Result<std::shared_ptr<const TlsContext>> server(const TlsFiles& files);
  /// A client's, which verifies the server's name and certificate. Its own must be valid now.
  static Result<std::shared_ptr<const TlsContext>> client(const ClientTlsFiles& files);

  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  ssl_ctx_st* native() const { return context_; }

  /// Of the certificate that is shown, in seconds since 1970; 0 without one.
  std::int64_t not_before() const { return not_before_; }
  std::int64_t not_after() const { return not_after_; }
  /// Why the certificate cannot be good at `now_s`, in seconds since 1970; empty when it can.
  std::string validity_problem(std::int64_t now_s) const;
  /// Made from files with the same bytes.
  bool is_same_as(const TlsContext& other) const { return fingerprint_ == other.fingerprint_; }

 private:
  explicit TlsContext(ssl_ctx_st* context) : context_(context) {}
  void note_validity();
  ssl_ctx_st* context_;
  std::int64_t not_before_ = 0;
  std::int64_t not_after_ = 0;
  std::string fingerprint_;  // a SHA-256 a file, in the order in which they were read
};

}  // namespace anomalyd::http
