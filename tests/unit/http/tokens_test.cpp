#include "http/tokens.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <set>
#include <string>
#include <vector>

#include "certificates.h"
#include "support/catch.h"

namespace anomalyd::http {
namespace {

using testing::Folder;

NewToken make(const std::string& name, const std::vector<Scope>& scopes,
              const std::vector<std::string>& streams = {}, std::size_t max_streams = 0) {
  auto made = make_token(name, scopes, streams, max_streams);
  INFO((made.ok() ? "" : made.error().message));
  REQUIRE(made.ok());
  return std::move(made).value();
}

std::shared_ptr<const TokenSet> parse(const std::string& text) {
  auto parsed = TokenSet::parse(text, "tokens");
  INFO((parsed.ok() ? "" : parsed.error().message));
  REQUIRE(parsed.ok());
  return std::move(parsed).value();
}

std::string refusal(const std::string& text) {
  const auto refused = TokenSet::parse(text, "tokens");
  INFO(text);
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().code == ErrorCode::kInvalidArgument);
  return refused.error().message;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

const std::string kHash = "sha256:" + std::string(64, 'a');

std::string base64(const std::string& text) {
  static const std::string digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 3) {
    unsigned group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8U | (i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += i + k > text.size() ? '=' : digits[group >> (18U - 6U * k) & 63U];
    }
  }
  return out;
}

TEST_CASE("A token is known by what was given out for it, however it is sent", "[http][tokens]") {
  const NewToken a = make("line-a", {Scope::kIngest});
  const NewToken b = make("grafana", {Scope::kRead, Scope::kWrite});
  const auto set = parse("# who\n\n" + a.line + "\n  " + b.line + "\r\n");
  REQUIRE(set->size() == 2);
  const auto judged = [&](const std::string& field, Scope scope) {
    return set->judge(field, scope);
  };
  for (const std::string scheme : {"Bearer ", "bearer ", "Token ", "BEARER   "}) {
    INFO(scheme);
    CHECK(judged(scheme + a.secret, Scope::kIngest).denial == Denial::kNone);
    CHECK(judged(scheme + a.secret, Scope::kIngest).token->name == "line-a");
  }
  CHECK(judged("Basic " + base64("grafana:" + b.secret), Scope::kRead).denial == Denial::kNone);
  CHECK(judged("Basic " + base64("grafana:" + b.secret), Scope::kWrite).token->name == "grafana");
  CHECK(judged("Basic " + base64("line-a:" + b.secret), Scope::kRead).denial == Denial::kUnknown);
  CHECK(judged("Basic " + base64(":" + b.secret), Scope::kRead).denial == Denial::kUnknown);
}

TEST_CASE("A token may do what its scopes say and nothing else", "[http][tokens]") {
  const std::vector<Scope> all{Scope::kIngest, Scope::kRead, Scope::kWrite, Scope::kAdmin};
  for (const Scope given : all) {
    const NewToken one = make("one", {given});
    const auto set = parse(one.line);
    for (const Scope needed : all) {
      const auto verdict = set->judge("Bearer " + one.secret, needed);
      CHECK(verdict.denial == (given == needed ? Denial::kNone : Denial::kScope));
      REQUIRE(verdict.token != nullptr);
      CHECK(verdict.token->name == "one");
    }
    CHECK(set->judge("", Scope::kOpen).denial == Denial::kNone);
  }
  const NewToken every = make("every", all);
  for (const Scope needed : all) {
    CHECK(parse(every.line)->judge("Token " + every.secret, needed).denial == Denial::kNone);
  }
}

TEST_CASE("What is no token of ours is told from one that is not known", "[http][tokens]") {
  const NewToken one = make("one", {Scope::kRead});
  const auto set = parse(one.line);
  const auto denial = [&](const std::string& field) {
    return set->judge(field, Scope::kRead).denial;
  };
  CHECK(denial("") == Denial::kMissing);
  for (const std::string& field :
       {std::string("Bearer"), std::string("Bearer "), one.secret, "Digest " + one.secret,
        "Bearer " + one.secret + "x", "Bearer " + one.secret + " ",
        "Bearer " + one.secret.substr(0, one.secret.size() - 1), std::string("Bearer secret"),
        "Bearer" + one.secret, std::string("Basic ***"), "Basic " + base64(one.secret),
        "Basic " + base64("one:secret"), "Basic " + std::string(20'000, 'A'),
        "Bearer " + std::string(20'000, 'A'), "Bearer anomalyd_" + std::string(43, '=')}) {
    INFO(field.substr(0, 80));
    CHECK(denial(field) == Denial::kMalformed);
  }
  // Each single change of it is another token.
  for (std::size_t i = 9; i < one.secret.size(); ++i) {
    std::string other = one.secret;
    other[i] = other[i] == 'A' ? 'B' : 'A';
    CHECK(denial("Bearer " + other) == Denial::kUnknown);
  }
  CHECK(denial("Bearer " + make("two", {Scope::kRead}).secret) == Denial::kUnknown);
}

TEST_CASE("Tokens are made of the system's random bits, and only their hash is in the line",
          "[http][tokens]") {
  std::set<std::string> seen;
  std::set<char> letters;
  for (int i = 0; i < 200; ++i) {
    const NewToken one = make("n", {Scope::kRead});
    CHECK(one.secret.size() == 52);
    CHECK(seen.insert(one.secret).second);
    CHECK_FALSE(contains(one.line, one.secret.substr(9)));
    letters.insert(one.secret.begin() + 9, one.secret.end());
  }
  CHECK(letters.size() == 64);
}

TEST_CASE("A line's options are what a handler may hold the token to", "[http][tokens]") {
  const NewToken one = make("one", {Scope::kIngest, Scope::kRead}, {"pump*", "fan[0-9]"}, 20);
  CHECK(contains(one.line, "one ingest,read sha256:"));
  CHECK(contains(one.line, " streams=pump*,fan[0-9] max_streams=20"));
  const auto set = parse(one.line);
  CHECK(set->tokens()[0].streams == std::vector<std::string>{"pump*", "fan[0-9]"});
  CHECK(set->tokens()[0].max_streams == 20);
  CHECK(parse("a read " + kHash)->tokens()[0].max_streams == 0);
}

TEST_CASE("What a token file could not hold is not made", "[http][tokens][errors]") {
  const std::vector<Scope> read{Scope::kRead};
  const std::vector<std::string> none;
  CHECK_FALSE(make_token("", read, none, 0).ok());
  CHECK_FALSE(make_token("a b", read, none, 0).ok());
  CHECK_FALSE(make_token("a\nb read", read, none, 0).ok());
  CHECK_FALSE(make_token("#a", read, none, 0).ok());
  CHECK_FALSE(make_token(std::string(65, 'a'), read, none, 0).ok());
  CHECK_FALSE(make_token("a", {}, none, 0).ok());
  CHECK_FALSE(make_token("a", std::vector<Scope>{Scope::kOpen}, none, 0).ok());
  CHECK_FALSE(make_token("a", std::vector<Scope>{Scope::kRead, Scope::kRead}, none, 0).ok());
  for (const std::string glob : {"", "a b", "a,b", "a\tb", "a\n", "\xff"}) {
    CHECK_FALSE(make_token("a", read, std::vector<std::string>{glob}, 0).ok());
  }
  CHECK_FALSE(make_token("a", read, none, 100'000'001).ok());
}

TEST_CASE("Each mistake of a token file has its line and what was expected",
          "[http][tokens][errors]") {
  struct Case {
    std::string text;
    std::string message;
  };
  const std::string good = "a read " + kHash + "\n";
  const std::string other = "sha256:" + std::string(64, 'b');
  for (const Case& one : std::vector<Case>{
           {"", "tokens:1: no token, expected at least one line"},
           {"# nobody\n\n", "tokens:1: no token"},
           {"a", "tokens:1: 1 word, expected: name scopes sha256:HASH"},
           {good + "b read\n", "tokens:2: 2 words, expected: name"},
           {good + "\n\nb/c read " + other, "tokens:4: name: 'b/c', expected 1 to 64"},
           {good + "b red " + other, "tokens:2: scopes: 'red', expected some of ingest"},
           {good + "b read,,write " + other, "tokens:2: scopes: '', expected"},
           {good + "b open " + other, "tokens:2: scopes: 'open', expected"},
           {good + "b read,read " + other, "tokens:2: scopes: 'read' given twice"},
           {"a read sha256:abc", "tokens:1: hash: 'sha256:abc', expected sha256: and 64"},
           {"a read " + std::string(64, 'a'), "tokens:1: hash: "},
           {"a read sha256:" + std::string(64, 'A'), "tokens:1: hash: "},
           {"a read sha256:" + std::string(63, 'a') + "g", "tokens:1: hash: "},
           {good + "a write " + other,
            "tokens:2: name: 'a' given twice, expected names that differ "
            "(line 1 has it too)"},
           {good + "b write " + kHash, "tokens:2: hash: the same token as in line 1"},
           {"a read " + kHash + " max_streams=0", "tokens:1: 'max_streams=0', expected"},
           {"a read " + kHash + " max_streams=1x", "tokens:1: 'max_streams=1x', expected"},
           {"a read " + kHash + " max_streams=1 max_streams=2", "each at most once"},
           {"a read " + kHash + " streams=", "tokens:1: 'streams=', expected streams=PATTERN"},
           {"a read " + kHash + " streams=a streams=b", "each at most once"},
           {"a read " + kHash + " stream=a", "tokens:1: 'stream=a', expected streams="},
           {"a read \x1b[31m", "tokens:1: hash: '?[31m', expected"}}) {
    const std::string message = refusal(one.text);
    INFO(message);
    CHECK(contains(message, one.message));
    CHECK_FALSE(contains(message, "\x1b"));
  }
  const std::string all = refusal("x\n" + good + "y\n");
  CHECK(contains(all, "tokens:1: "));
  CHECK(contains(all, "\ntokens:3: "));
  std::string many;
  for (int i = 0; i < 10'000; ++i) many += "x\n";
  CHECK(refusal(many).size() < 5000);
  CHECK(contains(refusal(many), "and 9980 more"));
}

TEST_CASE("A token that was pasted into the file is not repeated in the message",
          "[http][tokens][errors]") {
  const NewToken one = make("a", {Scope::kRead});
  for (const std::string& text :
       {"a read " + one.secret, one.secret + " read " + kHash, "a " + one.secret + " " + kHash,
        "a read " + kHash + " " + one.secret, "a read sha256:" + one.secret}) {
    CHECK_FALSE(contains(refusal(text), one.secret.substr(9, 8)));
  }
}

TEST_CASE("A token file is a path or a credential of the service", "[http][tokens][files]") {
  const Folder folder;
  const NewToken one = make("one", {Scope::kRead});
  const auto path = folder.write("tokens", one.line + "\n");
  CHECK(TokenSet::load(path).ok());
  const auto missing = TokenSet::load(folder.path() / "none");
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().code == ErrorCode::kNotFound);
  CHECK(contains(missing.error().message, "none: no such file"));
  CHECK(contains(TokenSet::load(folder.path()).error().message, "a folder, expected a file"));
  const auto pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(contains(TokenSet::load(pipe).error().message, "pipe: no regular file"));
  const auto wrong = TokenSet::load(folder.write("wrong", "\nx\n"));
  REQUIRE_FALSE(wrong.ok());
  CHECK(contains(wrong.error().message, folder.path().string() + "/wrong:2: "));

  const char* kept = std::getenv("CREDENTIALS_DIRECTORY");
  const std::string before = kept == nullptr ? "" : kept;
  unsetenv("CREDENTIALS_DIRECTORY");
  CHECK(contains(TokenSet::load("credential:tokens").error().message, "LoadCredential=tokens:"));
  setenv("CREDENTIALS_DIRECTORY", folder.path().c_str(), 1);
  CHECK(TokenSet::load("credential:tokens").ok());
  CHECK(contains(TokenSet::load("credential:none").error().message, "credential:none: no such"));
  CHECK_FALSE(TokenSet::load("credential:../tokens").ok());
  CHECK_FALSE(TokenSet::load("credential:").ok());
  if (kept == nullptr) {
    unsetenv("CREDENTIALS_DIRECTORY");
  } else {
    setenv("CREDENTIALS_DIRECTORY", before.c_str(), 1);
  }
}

}  // namespace
}  // namespace anomalyd::http
