#include "app/ctl_token.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "app/ctl_send.h"
#include "http/tokens.h"
#include "support/catch.h"
#include "support/ctl_files.h"

namespace anomalyd::app::ctl {
namespace {

struct Ran {
  int status = 0;
  std::string out;
  std::string err;
};

Ran run(const TokenOptions& options) {
  std::ostringstream out, err;
  Console console{out, err};
  Ran ran;
  ran.status = token(options, console);
  ran.out = out.str();
  ran.err = err.str();
  return ran;
}

TokenOptions options(const std::string& name, std::vector<std::string> scopes = {"read"}) {
  TokenOptions made;
  made.name = name;
  made.scopes = std::move(scopes);
  return made;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("anomalyctl token prints a token and the line that lets it in", "[ctl][token]") {
  TokenOptions wish = options("line-a", {"ingest", "read"});
  wish.streams = {"press*"};
  wish.max_streams = 5;
  wish.json = true;
  const Ran ran = run(wish);
  INFO(ran.err);
  REQUIRE(ran.status == kOk);
  const auto made = nlohmann::json::parse(ran.out);
  CHECK(made.at("name") == "line-a");
  const auto set = http::TokenSet::parse(made.at("line").get<std::string>(), "t");
  REQUIRE(set.ok());
  const auto verdict =
      set.value()->judge("Bearer " + made.at("token").get<std::string>(), http::Scope::kIngest);
  REQUIRE(verdict.denial == http::Denial::kNone);
  CHECK(verdict.token->streams == std::vector<std::string>{"press*"});
  CHECK(verdict.token->max_streams == 5);
  const Ran plain = run(options("b"));
  CHECK(contains(plain.out, "token  anomalyd_"));
  CHECK(contains(plain.out, "\nline   b read sha256:"));
}

TEST_CASE("Token and line go to files, which stay whole", "[ctl][token][files]") {
  const anomalyd::testing::TemporaryFolder dir;
  const auto tokens = dir.path() / "tokens";
  std::ofstream(tokens) << "# ours";  // without a newline
  TokenOptions wish = options("a");
  wish.append = tokens.string();
  wish.out = (dir.path() / "a.token").string();
  const Ran ran = run(wish);
  INFO(ran.err);
  REQUIRE(ran.status == kOk);
  CHECK(ran.out.empty());
  struct stat info {};
  REQUIRE(::stat(wish.out.c_str(), &info) == 0);
  CHECK((info.st_mode & 0777U) == 0600);
  CHECK(contains(read(tokens), "# ours\na read sha256:"));
  const auto set = http::TokenSet::load(tokens);
  REQUIRE(set.ok());
  std::string secret = read(wish.out);
  REQUIRE(secret.back() == '\n');
  secret.pop_back();
  CHECK(set.value()->judge("Bearer " + secret, http::Scope::kRead).denial == http::Denial::kNone);

  // A name that is there, a file for the token that is there: nothing is changed.
  const std::string before = read(tokens);
  wish.out.clear();
  const Ran again = run(wish);
  CHECK(again.status == kFailed);
  CHECK(contains(again.err, "tokens:3: name: 'a' given twice"));
  wish.name = "b";
  wish.out = (dir.path() / "a.token").string();
  CHECK(run(wish).status == kFailed);
  CHECK(read(tokens) == before);
  CHECK(read(wish.out) == secret + "\n");
  std::ofstream(tokens) << "nonsense\n";
  wish.out.clear();
  CHECK(run(wish).status == kFailed);
  CHECK(read(tokens) == "nonsense\n");
  wish.append = (dir.path() / "none/tokens").string();
  CHECK(run(wish).status == kFailed);
}

TEST_CASE("What no token can be is wrong usage", "[ctl][token][errors]") {
  const Ran scope = run(options("a", {"reed"}));
  CHECK(scope.status == kUsage);
  CHECK(contains(scope.err, "--scope: 'reed', expected some of ingest, read, write, admin"));
  CHECK(run(options("a b")).status == kUsage);
  CHECK(run(options("a", {})).status == kUsage);
  TokenOptions wish = options("a");
  wish.streams = {"a b"};
  CHECK(run(wish).status == kUsage);
}

TEST_CASE("A client's token file holds a token and nothing else", "[ctl][token][files]") {
  const anomalyd::testing::TemporaryFolder dir;
  const auto error = [&](const std::string& text) {
    std::ofstream(dir.path() / "t", std::ios::binary) << text;
    ServerFlags flags;
    flags.token_file = (dir.path() / "t").string();
    const auto made = make_client("http://127.0.0.1:1", flags, std::chrono::seconds(1));
    return made.ok() ? std::string() : made.error().message;
  };
  CHECK(error("anomalyd_x\n").empty());
  CHECK(error("anomalyd_x\r\n").empty());
  for (const std::string text : {"", "\n", "a b", "a\nb\n", "\x01"}) {
    CHECK(contains(error(text), "expected a token on a line, and nothing else"));
  }
  ServerFlags flags;
  flags.token_file = (dir.path() / "none").string();
  CHECK_FALSE(make_client("http://127.0.0.1:1", flags, std::chrono::seconds(1)).ok());
  flags = {};
  flags.ca_file = flags.token_file;
  flags.ca_file = (dir.path() / "none").string();
  CHECK_FALSE(make_client("https://127.0.0.1:1", flags, std::chrono::seconds(1)).ok());
}

}  // namespace
}  // namespace anomalyd::app::ctl
