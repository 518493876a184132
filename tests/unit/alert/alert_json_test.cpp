#include "alert/alert_json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "support/catch.h"

namespace anomalyd::alert {
namespace {

Alert make_alert() {
  Alert alert;
  alert.stream = StreamKey::make("pump", {{"site", "a"}, {"unit", "7\"\\"}}).value();
  alert.start = 1795320306'500'000'000;
  alert.id = alert_id(alert.stream.text(), alert.start, "bearing");
  alert.domain = "pumps";
  alert.detector = "bearing";
  alert.detector_version = "0123456789ab";
  alert.end = alert.start + 2 * kNsPerSecond;
  alert.threshold_p = 1e-6;
  alert.peak_score = 12.5;
  alert.peak_p = 1e-15;
  alert.peak_time = alert.start + kNsPerSecond;
  alert.contributions = {{"de", 0.75}, {"fe", 0.25}};
  alert.context.start = alert.peak_time;
  alert.context.rate_hz = 12000;
  alert.context.channels = {"de", "fe"};
  alert.context.actual = {0.1F, -1, 0.2F, std::numeric_limits<float>::quiet_NaN(), 3e-8F, 2};
  alert.context.expected = {0, 0.5F, 0, 0.5F, std::numeric_limits<float>::infinity(), 0.5F};
  return alert;
}

TEST_CASE("An alert's JSON has every field in one form", "[alert][json]") {
  Alert alert = make_alert();
  alert.state = AlertState::kResolved;
  alert.fired_at = alert.start + kNsPerSecond;
  alert.resolved_at = alert.start + 9 * kNsPerSecond;
  alert.end_reason = "cleared";
  const std::string text = to_json(alert, true);
  CHECK(text ==
        R"({"id":")" + alert.id +
            R"(","stream":"pump{site=\"a\",unit=\"7\\\"\\\\\"}","name":"pump",)"
            R"("labels":{"site":"a","unit":"7\"\\"},"domain":"pumps","detector":"bearing",)"
            R"("detector_version":"0123456789ab","state":"resolved",)"
            R"("start":"2026-11-22T04:05:06.5Z","end":"2026-11-22T04:05:08.5Z",)"
            R"("fired_at":"2026-11-22T04:05:07.5Z","resolved_at":"2026-11-22T04:05:15.5Z",)"
            R"("end_reason":"cleared","threshold_p_value":1e-06,)"
            R"("peak":{"time":"2026-11-22T04:05:07.5Z","score":12.5,"p_value":1e-15},)"
            R"("contributions":[{"channel":"de","share":0.75},{"channel":"fe","share":0.25}],)"
            R"("context":{"start":"2026-11-22T04:05:07.5Z","rate_hz":12000,)"
            R"("channels":["de","fe"],)"
            R"("actual":{"de":[0.1,0.2,3e-08],"fe":[-1,null,2]},)"
            R"("expected":{"de":[0,0,null],"fe":[0.5,0.5,0.5]}}})");
  // An array of them is JSON to another parser.
  const auto parsed = nlohmann::json::parse("[" + text + "," + to_json(alert, false) + "]");
  CHECK(parsed[0]["stream"] == alert.stream.text());
  CHECK(parsed[0]["context"]["actual"]["de"][0].get<float>() == 0.1F);
  CHECK(parsed[1]["peak"]["p_value"] == 1e-15);
  CHECK_FALSE(parsed[1].contains("context"));
}

TEST_CASE("What an open alert does not have yet is null", "[alert][json]") {
  Alert alert = make_alert();
  alert.peak_score = std::numeric_limits<double>::quiet_NaN();
  alert.context = {};
  alert.contributions.clear();
  const auto parsed = nlohmann::json::parse(to_json(alert, true));
  CHECK(parsed["state"] == "pending");
  CHECK(parsed["fired_at"].is_null());
  CHECK(parsed["resolved_at"].is_null());
  CHECK(parsed["end_reason"].is_null());
  CHECK(parsed["peak"]["score"].is_null());
  CHECK(parsed["context"].is_null());
  CHECK(parsed["contributions"] == nlohmann::json::array());
}

TEST_CASE("Text that is not UTF-8 or holds control characters stays JSON", "[alert][json]") {
  Alert alert = make_alert();
  alert.detector = "a\xff\xc3(\x01\n</script>";
  alert.end_reason = std::string("\0x", 2);
  const std::string text = to_json(alert, false);
  const auto parsed = nlohmann::json::parse(text);
  CHECK(parsed["detector"].get<std::string>().find("(\x01\n</script>") != std::string::npos);
  CHECK(parsed["end_reason"] == std::string("\0x", 2));
  CHECK(text.find('\n') == std::string::npos);
}

}  // namespace
}  // namespace anomalyd::alert
