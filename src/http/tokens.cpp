#include "http/tokens.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/text.h"
#include "http/secret_file.h"

namespace anomalyd::http {
namespace {

constexpr std::string_view kPrefix = "anomalyd_";
constexpr std::size_t kSecretBytes = 32;
constexpr std::size_t kSecretChars = 43;  // of 32 bytes in base64url without padding
constexpr std::size_t kMaxFileBytes = 32UL << 20U;
constexpr std::size_t kMaxTokens = 100'000;
constexpr std::size_t kMaxShown = 20;
constexpr std::string_view kHashPrefix = "sha256:";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

struct ScopeName {
  Scope scope;
  std::string_view name;
};
constexpr std::array<ScopeName, 4> kScopes{{{Scope::kIngest, "ingest"},
                                            {Scope::kRead, "read"},
                                            {Scope::kWrite, "write"},
                                            {Scope::kAdmin, "admin"}}};

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

/// At most 40 bytes of what a file holds, for a message. A token pasted into the wrong file must
/// not go to a log from there.
std::string shown(std::string_view text) {
  if (text.find(kPrefix) != std::string_view::npos) return "a token in the clear";
  std::string out = "'";
  for (const char c : text.substr(0, 40)) {
    out += static_cast<unsigned char>(c) > ' ' && static_cast<unsigned char>(c) < 0x7f ? c : '?';
  }
  return out + (text.size() > 40 ? "...'" : "'");
}

bool is_token_name(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

bool is_token(std::string_view text) {
  if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + kSecretChars) return false;
  const std::string_view secret = text.substr(kPrefix.size());
  return secret.find_first_not_of(kBase64Url) == std::string_view::npos;
}

/// Fetched once: EVP_sha256() would look it up by its name in each call.
const EVP_MD* sha256() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ANOMALYD_CHECK(algorithm != nullptr, "SHA-256 is always there");
  return algorithm;
}

TokenSet::Digest digest_of(std::string_view text) {
  TokenSet::Digest digest{};
  unsigned size = 0;
  const int done = EVP_Digest(text.data(), text.size(), digest.data(), &size, sha256(), nullptr);
  ANOMALYD_CHECK(done == 1 && size == digest.size(), "SHA-256 of any text");
  return digest;
}

std::string hex(const TokenSet::Digest& digest) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const unsigned char byte : digest) {
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 0xfU];
  }
  return out;
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  return {};
}

std::optional<TokenSet::Digest> parse_hash(std::string_view text) {
  if (!text.starts_with(kHashPrefix)) return {};
  text.remove_prefix(kHashPrefix.size());
  TokenSet::Digest digest{};
  if (text.size() != 2 * digest.size()) return {};
  for (std::size_t i = 0; i < digest.size(); ++i) {
    const auto high = hex_digit(text[2 * i]);
    const auto low = hex_digit(text[2 * i + 1]);
    if (!high || !low) return {};
    digest[i] = static_cast<unsigned char>(*high << 4U | *low);
  }
  return digest;
}

/// What base64 (RFC 4648, with or without padding) stands for; nothing when it is none.
std::optional<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  if (text.size() % 4 == 1) return {};
  std::string out;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (char c : text) {
    if (c == '+') c = '-';
    if (c == '/') c = '_';
    const std::size_t value = kBase64Url.find(c);
    if (value == std::string_view::npos) return {};
    bits = bits << 6U | static_cast<std::uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count & 0xffU);
  }
  return out;
}

/// The words of a line, between blanks.
std::vector<std::string_view> words_of(std::string_view line) {
  std::vector<std::string_view> words;
  for (;;) {
    const std::size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return words;
    const std::size_t end = std::min(line.find_first_of(" \t\r", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t comma = list.find(',');
    parts.push_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

/// Reads `streams=` or `max_streams=`; what is wrong with it, empty when nothing is.
std::string read_option(std::string_view word, Token& token) {
  constexpr std::string_view kStreams = "streams=";
  constexpr std::string_view kMaxStreams = "max_streams=";
  if (word.starts_with(kStreams) && token.streams.empty()) {
    for (const std::string_view glob : split(word.substr(kStreams.size()))) {
      if (glob.empty() || glob.size() > 512 || !is_utf8(glob) || has_control(glob)) {
        return shown(word) + ", expected streams=PATTERN,... of 1 to 512 bytes each";
      }
      token.streams.emplace_back(glob);
    }
    return {};
  }
  if (word.starts_with(kMaxStreams) && token.max_streams == 0) {
    const std::string_view text = word.substr(kMaxStreams.size());
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), token.max_streams);
    if (error == std::errc() && end == text.data() + text.size() && token.max_streams >= 1 &&
        token.max_streams <= 100'000'000) {
      return {};
    }
    return shown(word) + ", expected max_streams= and a whole number from 1 to 100000000";
  }
  return shown(word) + ", expected streams=PATTERN,... or max_streams=N, each at most once";
}

/// Reads a line's words; what is wrong with them, empty when nothing is.
std::string read_token(const std::vector<std::string_view>& words, Token& token,
                       TokenSet::Digest& digest) {
  if (words.size() < 3) {
    return std::to_string(words.size()) + (words.size() == 1 ? " word" : " words") +
           ", expected: name scopes sha256:HASH [streams=PATTERN,...] [max_streams=N]";
  }
  if (!is_token_name(words[0]) || words[0].find(kPrefix) != std::string_view::npos) {
    return "name: " + shown(words[0]) + ", expected 1 to 64 letters, digits, '_', '-' or '.'";
  }
  token.name = std::string(words[0]);
  for (const std::string_view word : split(words[1])) {
    const auto scope = parse_scope(word);
    if (!scope.ok()) return "scopes: " + scope.error().message;
    if (token.allows(scope.value())) return "scopes: '" + std::string(word) + "' given twice";
    token.scopes.push_back(scope.value());
  }
  const auto parsed = parse_hash(words[2]);
  if (!parsed) {
    return "hash: " + shown(words[2]) +
           ", expected sha256: and 64 hex digits, as `anomalyctl token` prints it";
  }
  digest = *parsed;
  for (std::size_t i = 3; i < words.size(); ++i) {
    if (std::string wrong = read_option(words[i], token); !wrong.empty()) return wrong;
  }
  return {};
}

}  // namespace

std::string_view to_text(Scope scope) {
  for (const ScopeName& known : kScopes) {
    if (known.scope == scope) return known.name;
  }
  return "open";
}

Result<Scope> parse_scope(std::string_view text) {
  for (const ScopeName& known : kScopes) {
    if (known.name == text) return known.scope;
  }
  return refuse(shown(text) + ", expected some of ingest, read, write, admin with commas between");
}

std::string_view to_text(Denial denial) {
  switch (denial) {
    case Denial::kMissing:
      return "missing";
    case Denial::kMalformed:
      return "malformed";
    case Denial::kUnknown:
      return "unknown";
    case Denial::kScope:
      return "scope";
    default:
      return "none";
  }
}

bool Token::allows(Scope scope) const {
  return std::find(scopes.begin(), scopes.end(), scope) != scopes.end();
}

TokenSet::TokenSet() {
  // Fails only where the system has no random source, and then nothing here can be safe.
  ANOMALYD_CHECK(RAND_bytes(secret_.data(), static_cast<int>(secret_.size())) == 1,
                 "random bits from the system");
}

std::uint64_t TokenSet::key_of(const Digest& digest) const {
  // Key and message have a fixed length and the result stays here: no HMAC is needed.
  std::array<char, 64> keyed{};
  static_assert(sizeof keyed == sizeof secret_ + sizeof digest);
  std::memcpy(keyed.data(), secret_.data(), secret_.size());
  std::memcpy(keyed.data() + secret_.size(), digest.data(), digest.size());
  const Digest hash = digest_of({keyed.data(), keyed.size()});
  std::uint64_t key = 0;
  std::memcpy(&key, hash.data(), sizeof key);
  return key;
}

const Token* TokenSet::find(std::string_view text) const {
  const Digest digest = digest_of(text);
  const auto [first, last] = index_.equal_range(key_of(digest));
  for (auto at = first; at != last; ++at) {
    if (CRYPTO_memcmp(digest.data(), digests_[at->second].data(), digest.size()) == 0) {
      return &tokens_[at->second];
    }
  }
  return nullptr;
}

TokenSet::Verdict TokenSet::judge(std::string_view authorization, Scope needed) const {
  if (needed == Scope::kOpen) return {};
  if (authorization.empty()) return {Denial::kMissing, nullptr};
  const std::size_t space = std::min(authorization.find(' '), authorization.size());
  const std::string_view scheme = authorization.substr(0, space);
  std::string_view text = authorization.substr(space);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);

  std::string pair;
  std::string_view user;
  bool has_user = false;
  if (equals_any_case(scheme, "Basic")) {
    if (text.size() > 1024) return {Denial::kMalformed, nullptr};
    auto decoded = decode_base64(text);
    if (!decoded) return {Denial::kMalformed, nullptr};
    pair = std::move(*decoded);
    const std::size_t colon = pair.find(':');
    if (colon == std::string::npos) return {Denial::kMalformed, nullptr};
    has_user = true;
    user = std::string_view(pair).substr(0, colon);
    text = std::string_view(pair).substr(colon + 1);
  } else if (!equals_any_case(scheme, "Bearer") && !equals_any_case(scheme, "Token")) {
    return {Denial::kMalformed, nullptr};
  }
  if (!is_token(text)) return {Denial::kMalformed, nullptr};
  const Token* token = find(text);
  if (token != nullptr && has_user && token->name != user) token = nullptr;
  OPENSSL_cleanse(pair.data(), pair.size());
  if (token == nullptr) return {Denial::kUnknown, nullptr};
  return {token->allows(needed) ? Denial::kNone : Denial::kScope, token};
}

Result<std::shared_ptr<const TokenSet>> TokenSet::parse(std::string_view text,
                                                        std::string_view name) {
  // make_shared cannot reach the constructor.
  std::shared_ptr<TokenSet> set(new TokenSet);
  std::string wrong;
  std::size_t mistakes = 0;
  std::map<std::string, std::size_t> names;
  std::map<Digest, std::size_t> hashes;
  std::size_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto words = words_of(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (words.empty() || words.front().front() == '#') continue;
    Token token;
    Digest digest{};
    std::string what = read_token(words, token, digest);
    if (what.empty()) {
      const auto [known, is_new] = names.emplace(token.name, line_number);
      const auto [same, is_other] = hashes.emplace(digest, line_number);
      if (!is_new) {
        what = "name: '" + token.name + "' given twice, expected names that differ (line " +
               std::to_string(known->second) + " has it too)";
      } else if (!is_other) {
        what = "hash: the same token as in line " + std::to_string(same->second);
      } else if (set->tokens_.size() == kMaxTokens) {
        return refuse(std::string(name) + ":" + std::to_string(line_number) + ": more than " +
                      std::to_string(kMaxTokens) + " tokens");
      }
    }
    if (!what.empty()) {
      if (++mistakes > kMaxShown) continue;
      wrong += (wrong.empty() ? "" : "\n") + std::string(name) + ":" + std::to_string(line_number) +
               ": " + what;
      continue;
    }
    set->index_.emplace(set->key_of(digest), set->tokens_.size());
    set->tokens_.push_back(std::move(token));
    set->digests_.push_back(digest);
  }
  if (mistakes > kMaxShown) {
    wrong += "\n" + std::string(name) + ": and " + std::to_string(mistakes - kMaxShown) + " more";
  }
  if (!wrong.empty()) return refuse(std::move(wrong));
  if (set->tokens_.empty()) {
    return refuse(std::string(name) + ":1: no token, expected at least one line; make it with " +
                  "`anomalyctl token`");
  }
  return std::shared_ptr<const TokenSet>(std::move(set));
}

Result<std::shared_ptr<const TokenSet>> TokenSet::load(const std::filesystem::path& path) {
  // Of tokens it holds only hashes, which tell nobody anything.
  const auto text = read_secret_file(path, kMaxFileBytes, Secrecy::kTrusted);
  if (!text.ok()) return text.error();
  return parse(text.value(), path.string());
}

Result<NewToken> make_token(std::string_view name, std::span<const Scope> scopes,
                            std::span<const std::string> streams, std::size_t max_streams) {
  std::array<unsigned char, kSecretBytes + 1> bytes{};  // 33: eleven whole groups
  if (RAND_bytes(bytes.data(), static_cast<int>(kSecretBytes)) != 1) {
    return Error{ErrorCode::kUnavailable, "token: the system gives no random bits"};
  }
  NewToken made;
  made.secret = std::string(kPrefix);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::uint32_t group = static_cast<std::uint32_t>(bytes[i]) << 16U |
                                static_cast<std::uint32_t>(bytes[i + 1]) << 8U | bytes[i + 2];
    for (const unsigned shift : {18U, 12U, 6U, 0U}) made.secret += kBase64Url[group >> shift & 63U];
  }
  made.secret.resize(kPrefix.size() + kSecretChars);
  OPENSSL_cleanse(bytes.data(), bytes.size());

  made.line = std::string(name) + " ";
  for (std::size_t i = 0; i < scopes.size(); ++i) {
    made.line += (i == 0 ? "" : ",") + std::string(to_text(scopes[i]));
  }
  made.line += " " + std::string(kHashPrefix) + hex(digest_of(made.secret));
  for (std::size_t i = 0; i < streams.size(); ++i) {
    made.line += (i == 0 ? " streams=" : ",") + streams[i];
  }
  if (max_streams != 0) made.line += " max_streams=" + std::to_string(max_streams);
  // What the file's reader does not take as this very token must not be given out.
  const auto read = TokenSet::parse(made.line, "token");
  if (!read.ok()) return read.error();
  const Token& token = read.value()->tokens().front();
  const bool is_same = read.value()->size() == 1 && token.name == name &&
                       token.scopes == std::vector<Scope>(scopes.begin(), scopes.end()) &&
                       token.streams == std::vector<std::string>(streams.begin(), streams.end()) &&
                       token.max_streams == max_streams;
  if (!is_same) return refuse("token: a name or a pattern holds a blank or a comma");
  return made;
}

}  // namespace anomalyd::http
