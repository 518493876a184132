// The token file and the Authorization field: the first line of the input is the field, the rest
// the file. A message must be clean text, and nobody may come in who has no token of the file.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/tokens.h"

namespace {

using namespace anomalyd::http;

// Parts of the one token that the seeds send.
constexpr std::string_view kKnown = "seedseedseedseed";
constexpr std::string_view kKnownInBase64 = "c2VlZHNlZWRz";

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string_view field = std::string_view(text).substr(0, end);
  const auto parsed = TokenSet::parse(std::string_view(text).substr(end), "f");
  if (!parsed.ok()) {
    const std::string& message = parsed.error().message;
    require(message.size() < 20'000 && message.starts_with("f:"));
    for (const char c : message) {
      require(c == '\n' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    }
    // A secret in the wrong place is not repeated: see the seed `in_the_clear`.
    require(message.find("anomalyd_") == std::string::npos);
    return 0;
  }
  const TokenSet& set = *parsed.value();
  require(set.size() >= 1);
  for (const Token& token : set.tokens()) {
    require(!token.name.empty() && token.name.size() <= 64 && !token.scopes.empty());
    require(!token.allows(Scope::kOpen));
  }
  for (const Scope scope : {Scope::kIngest, Scope::kRead, Scope::kWrite, Scope::kAdmin}) {
    const auto verdict = set.judge(field, scope);
    // Nobody knows a token from its hash, the fuzzer included: it can only send that of a seed.
    const bool has_known = field.find(kKnown) != std::string_view::npos ||
                           field.find(kKnownInBase64) != std::string_view::npos;
    if (verdict.token != nullptr) require(has_known);
    require((verdict.denial == Denial::kNone) ==
            (verdict.token != nullptr && verdict.token->allows(scope)));
  }
  return 0;
}
