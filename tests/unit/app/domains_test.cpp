#include "app/domains.h"

#include <string>
#include <utility>
#include <vector>

#include "support/catch.h"

namespace anomalyd::app {
namespace {

Config parse(const std::string& text) {
  auto parsed = parse_config(text, "t.toml");
  INFO((parsed.ok() ? "" : parsed.error().message));
  REQUIRE(parsed.ok());
  return std::move(parsed).value();
}

detect::DetectorInfo info_of(const Config& config) {
  const auto made = make_domains(config);
  INFO((made.ok() ? "" : made.error().message));
  REQUIRE(made.ok());
  return made.value()->domains.front()->detector->info();
}

TEST_CASE("A domain that names no detector is watched by standard", "[app][domains]") {
  for (const std::string text : {"", "[[domain]]\nname = \"d\"\n"}) {
    const Config config = parse(text);
    CHECK(check_domains(config).ok());
    const detect::DetectorInfo info = info_of(config);
    CHECK(info.kind == "standard");
    CHECK(info.name == "standard");
    CHECK(info.learn_windows == 100);
    CHECK(info.window_samples == 128);
    CHECK(info.hop_samples == 64);
    CHECK(info.normaliser == detect::NormaliserKind::kStream);
    CHECK(detector_path(config, config.domains.front()).empty());
  }
}

TEST_CASE("The hop that is left out suits the default detector whatever the window",
          "[app][domains]") {
  for (const auto& [window, hop] :
       {std::pair(2, 1), std::pair(3, 1), std::pair(8192, 4096), std::pair(65536, 4096)}) {
    const std::string text = "[[domain]]\nwindow_samples = " + std::to_string(window) + "\n";
    CHECK(info_of(parse(text)).hop_samples == static_cast<std::size_t>(hop));
  }
}

TEST_CASE("What the default detector cannot do is refused, with its name", "[app][domains]") {
  const std::string standard = "detector = \"standard\"";
  const struct {
    std::string keys;
    std::vector<std::string> parts;
  } cases[] = {
      {"normaliser = \"window\"\n", {standard, "left out", "expected the normaliser \"stream\""}},
      {"normaliser = \"domain\"\n", {standard, "left out", "\"domain\" needs a trained file"}},
      // The settings of a detector that is to be trained, without its name.
      {"normaliser = \"domain\"\n[domain.train]\nkind = \"pca\"\n", {standard, "left out"}},
      {"window_samples = 10000\nhop_samples = 5000\n",
       {standard, "hop_samples is 5000", "at most 4096"}},
      {"learn_windows = 5\n", {standard, "learn_windows is 5"}},
      {"detector = \"tiny\"\nnormaliser = \"window\"\n", {"detector = \"tiny\": ", "\"stream\""}},
  };
  for (const auto& [keys, parts] : cases) {
    INFO(keys);
    const Config config = parse("[[domain]]\nname = \"d\"\n" + keys);
    const auto made = make_domains(config);
    const Status checked = check_domains(config);
    REQUIRE_FALSE(made.ok());
    REQUIRE_FALSE(checked.ok());
    CHECK(checked.error().code == ErrorCode::kInvalidArgument);
    CHECK(checked.error().message == made.error().message);
    CHECK(checked.error().message.starts_with("domain d: "));
    for (const std::string& part : parts) {
      INFO(checked.error().message << " has: " << part);
      CHECK(checked.error().message.find(part) != std::string::npos);
    }
  }
  CHECK(check_domains(parse("[[domain]]\nnormaliser = \"stream\"\n")).ok());
}

TEST_CASE("A check of the domains looks for no detector file", "[app][domains]") {
  const Config config = parse("[[domain]]\ndetector = \"none-such\"\nnormaliser = \"domain\"\n");
  CHECK(check_domains(config).ok());
  const auto made = make_domains(config);
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().code == ErrorCode::kNotFound);
}

}  // namespace
}  // namespace anomalyd::app
