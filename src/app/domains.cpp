#include "app/domains.h"

#include <algorithm>
#include <string>

namespace anomalyd::app {
namespace {

// Half a window, and no more than what detectors that go from sample to sample take
// (make_portfolio).
constexpr std::size_t kMostDefaultHop = 4096;

bool needs_no_file(const std::string& detector) {
  const auto kinds = detect::member_kinds();
  return std::any_of(kinds.begin(), kinds.end(),
                     [&](const auto& kind) { return kind.online && kind.name == detector; });
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return "[" + text + "]";
}

/// Refuses a setting of the config that is not what the detector was trained with.
template <class T, class Show>
Status agree(std::string_view key, const std::optional<T>& config, const T& file, Show show) {
  if (!config || *config == file) return Done{};
  return Error{ErrorCode::kInvalidArgument, std::string(key) + " is " + show(*config) +
                                                ", but the detector was trained with " +
                                                show(file) + ": leave it out or train anew"};
}

Status check_agreement(const DomainConfig& domain, const detect::DetectorInfo& info) {
  const auto number = [](auto value) { return std::to_string(value); };
  const auto normaliser = [](auto kind) { return std::string(detect::to_text(kind)); };
  for (const Status& status :
       {agree("channels", domain.channels, info.channels, joined),
        agree("rate_hz", domain.rate_hz, info.rate_hz, number),
        agree("window_samples", domain.window_samples, info.window_samples, number),
        agree("hop_samples", domain.hop_samples, info.hop_samples, number),
        agree("normaliser", domain.normaliser, info.normaliser, normaliser),
        agree("learn_windows", domain.learn_windows, info.learn_windows, number)}) {
    if (!status.ok()) return status.error();
  }
  return Done{};
}

Result<std::shared_ptr<const detect::Detector>> make_detector(const Config& config,
                                                              const DomainConfig& domain) {
  if (needs_no_file(domain.detector)) {
    detect::DetectorInfo info = training_info(domain);
    info.kind = domain.detector;
    info.name = domain.detector;
    info.learn_windows = domain.learn_windows.value_or(0);
    auto made = detect::make_online_detector(info);
    if (made.ok()) return made;
    return Error{made.error().code, "detector = \"" + domain.detector + "\"" +
                                        (domain.detector == DomainConfig{}.detector
                                             ? " (what it is when it is left out): "
                                             : ": ") +
                                        made.error().message};
  }
  auto loaded = detect::load_detector(detector_path(config, domain));
  if (!loaded.ok()) return loaded;
  const Status agrees = check_agreement(domain, loaded.value()->info());
  if (!agrees.ok()) return agrees.error();
  return loaded;
}

Error in_domain(const DomainConfig& domain, const Error& error) {
  return Error{error.code, "domain " + domain.name + ": " + error.message};
}

stream::WindowRules window_rules(const DomainConfig& domain, const detect::DetectorInfo& info) {
  stream::WindowRules rules;
  if (!info.channels.empty()) {
    rules.channels = std::make_shared<const std::vector<std::string>>(info.channels);
  }
  rules.rate_hz = info.rate_hz;
  rules.window_samples = info.window_samples;
  rules.hop_samples = info.hop_samples;
  rules.lateness_ns = domain.lateness.count();
  rules.max_gap_ns = domain.max_gap.count();
  return rules;
}

}  // namespace

std::filesystem::path detector_path(const Config& config, const DomainConfig& domain) {
  if (needs_no_file(domain.detector)) return {};
  if (domain.detector.ends_with(".safetensors")) return domain.detector;
  return config.models_directory / (domain.detector + ".safetensors");
}

detect::DetectorInfo training_info(const DomainConfig& domain) {
  detect::DetectorInfo info;
  info.kind = domain.train.kind;
  info.channels = domain.channels.value_or(std::vector<std::string>{});
  info.rate_hz = domain.rate_hz.value_or(0);
  info.window_samples = domain.window_samples.value_or(info.window_samples);
  info.hop_samples =
      domain.hop_samples.value_or(std::min(info.window_samples / 2, kMostDefaultHop));
  info.normaliser = domain.normaliser.value_or(info.normaliser);
  info.learn_windows =
      domain.learn_windows.value_or(info.normaliser == detect::NormaliserKind::kStream ? 100 : 0);
  info.seed = domain.train.seed;
  return info;
}

stream::WindowRules training_windows(const DomainConfig& domain, const detect::DetectorInfo& info) {
  return window_rules(domain, info);
}

Status check_domains(const Config& config) {
  for (const DomainConfig& domain : config.domains) {
    if (!needs_no_file(domain.detector)) continue;
    const auto detector = make_detector(config, domain);
    if (!detector.ok()) return in_domain(domain, detector.error());
  }
  return Done{};
}

Result<std::shared_ptr<const stream::DomainSet>> make_domains(const Config& config) {
  auto set = std::make_shared<stream::DomainSet>();
  for (const DomainConfig& domain : config.domains) {
    auto detector = make_detector(config, domain);
    if (!detector.ok()) return in_domain(domain, detector.error());
    auto made = std::make_shared<stream::Domain>();
    made->name = domain.name;
    made->detector = std::move(detector).value();
    made->windows = window_rules(domain, made->detector->info());
    made->budget = domain.false_alerts;
    made->clear_factor = domain.clear_factor;
    made->confirm_windows = domain.confirm_windows;
    made->hold_ns = domain.hold.count();
    set->domains.push_back(std::move(made));
  }
  // The config is copied: the set outlives it.
  set->find = [config, domains = set->domains](
                  const StreamKey& key) -> std::shared_ptr<const stream::Domain> {
    const DomainConfig* found = find_domain(config, key);
    if (found == nullptr) return nullptr;
    return domains[static_cast<std::size_t>(found - config.domains.data())];
  };
  return std::shared_ptr<const stream::DomainSet>(std::move(set));
}

}  // namespace anomalyd::app
