// parse_config() on any bytes fails or gives a config that prints and parses back.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "app/config.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace anomalyd;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = app::parse_config(text, "fuzz.toml");
  if (!config.ok()) {
    ANOMALYD_CHECK(config.error().code == ErrorCode::kInvalidArgument, "another code");
    ANOMALYD_CHECK(config.error().message.starts_with("fuzz.toml:"), "a message without a place");
    return 0;
  }
  const std::string printed = app::print_config(config.value());
  const auto again = app::parse_config(printed, "printed.toml");
  ANOMALYD_CHECK(again.ok(), "what was printed does not parse");
  ANOMALYD_CHECK(app::print_config(again.value()) == printed, "what was printed reads differently");
  static_cast<void>(app::find_domain(config.value(), StreamKey::parse("pump{site=\"a\"}").value()));
  return 0;
}
