#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace anomalyd::http {

/// What a route asks of who calls it. None of them includes another.
enum class Scope : std::uint8_t {
  kOpen,    ///< nothing: anybody may
  kIngest,  ///< bring samples
  kRead,    ///< ask
  kWrite,   ///< change what is judged: silences, remarks
  kAdmin,   ///< change the daemon
};
std::string_view to_text(Scope scope);
/// "ingest", "read", "write" or "admin".
Result<Scope> parse_scope(std::string_view text);

/// What one token may do. The token itself is not in it.
struct Token {
  std::string name;
  std::vector<Scope> scopes;
  // Of no meaning to the server: what a handler may hold the token to.
  std::vector<std::string> streams;  ///< patterns (fnmatch) of stream names; none: every stream
  std::size_t max_streams = 0;       ///< 0: no limit of its own

  bool allows(Scope scope) const;
};

/// Why a request is not let through. Closed: each is a value of the metric's label `reason`.
enum class Denial : std::uint8_t {
  kNone,
  kMissing,    ///< no Authorization
  kMalformed,  ///< one that holds no token of ours
  kUnknown,    ///< a token that is not in the file
  kScope,      ///< a token that lacks the route's scope
  kDenials,    // the number of denials
};
std::string_view to_text(Denial denial);

/// The tokens of a file, of which only hashes are kept.
///
/// A line of the file is `name scopes sha256:<64 hex digits> [streams=glob,...] [max_streams=N]`;
/// empty lines and those that begin with '#' are skipped.
///
/// Numerics  a token has 256 random bits, so that one SHA-256 of it tells nothing: no salt and no
///           slow hash are needed, which are for passwords that people choose. Of what a caller
///           sends the hash is looked up by a hash of it with a key that this process draws, and
///           compared in constant time: how long it takes tells nothing about the hashes here.
/// Cost      two hashes a request, however many tokens there are.
/// Threads   const is safe to share.
class TokenSet {
 public:
  /// Errors   kInvalidArgument or kNotFound, one line a mistake: "file:line: what, expected what".
  static Result<std::shared_ptr<const TokenSet>> load(const std::filesystem::path& path);
  /// The same from text; `name` stands for the file in messages.
  static Result<std::shared_ptr<const TokenSet>> parse(std::string_view text,
                                                       std::string_view name);

  struct Verdict {
    Denial denial = Denial::kNone;
    const Token* token = nullptr;  ///< null when it is not known
  };
  /// Judges an Authorization field: `Bearer TOKEN`, `Token TOKEN` (as InfluxDB's clients send it)
  /// or Basic with the token's name as user and the token as password.
  Verdict judge(std::string_view authorization, Scope needed) const;

  std::size_t size() const { return tokens_.size(); }
  const std::vector<Token>& tokens() const { return tokens_; }

  using Digest = std::array<unsigned char, 32>;

 private:
  TokenSet();
  const Token* find(std::string_view text) const;
  std::uint64_t key_of(const Digest& digest) const;

  std::array<unsigned char, 32> secret_{};
  std::vector<Token> tokens_;
  std::vector<Digest> digests_;  // of tokens_, by index
  std::unordered_multimap<std::uint64_t, std::size_t> index_;
};

/// A new token: what its owner gets, and the line for the token file.
struct NewToken {
  std::string secret;  ///< "anomalyd_" and 43 characters
  std::string line;
};
/// Errors   kInvalidArgument for a name, scope or option that the file could not hold.
///          kUnavailable when the system gives no random bits.
Result<NewToken> make_token(std::string_view name, std::span<const Scope> scopes,
                            std::span<const std::string> streams, std::size_t max_streams);

}  // namespace anomalyd::http
