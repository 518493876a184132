#include "app/ctl_train.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <thread>

#include "app/ctl_score.h"
#include "app/domains.h"
#include "detect/fit.h"
#include "nn/tensor_file.h"

namespace anomalyd::app::ctl {
namespace {

Error refuse(std::string message) { return Error{ErrorCode::kInvalidArgument, std::move(message)}; }

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

/// Recordings of one domain, cut into windows.
struct TrainingData {
  std::vector<nn::Matrix<float>> recordings;
  std::size_t windows = 0;
  std::size_t missing = 0;
  std::uint64_t gaps = 0;
  std::uint64_t dropped = 0;
};

/// 1e9 / (1e9 / r) is not always r: a rate that people would write as a whole number is one.
double tidy_rate(double rate_hz) {
  const double whole = std::round(rate_hz);
  return std::abs(rate_hz - whole) <= 1e-9 * rate_hz ? whole : rate_hz;
}

/// Reads and cuts all files; sets what the info leaves open, channels and rate, from the data.
Result<TrainingData> read_training_data(const std::vector<std::string>& files,
                                        const RecordingOptions& options, const DomainConfig& domain,
                                        detect::DetectorInfo& info, Console& console) {
  TrainingData data;
  const std::vector<std::string> wanted = info.channels;
  std::string first_file;
  std::string rate_file;
  double rate_hz = 0;
  Progress progress(console);
  for (std::size_t i = 0; i < files.size(); ++i) {
    progress.update([&] {
      return "reading " + std::to_string(i + 1) + "/" + std::to_string(files.size()) + "  " +
             files[i];
    });
    auto opened = RecordingReader::open(files[i], options, wanted);
    if (!opened.ok()) return opened.error();
    RecordingReader reader = std::move(opened).value();
    const std::vector<std::string>& channels = reader.recording().channels;
    if (info.channels.empty()) {
      info.channels = channels;
      first_file = files[i];
    } else if (wanted.empty() && !std::is_permutation(channels.begin(), channels.end(),
                                                      info.channels.begin(), info.channels.end())) {
      return refuse(files[i] + ": columns " + joined(channels) + ", but " + first_file + " has " +
                    joined(info.channels) +
                    "; give the domain its channels or train on one kind of file");
    }
    auto cut = cut_windows(reader, training_windows(domain, info));
    if (!cut.ok()) return cut.error();
    RecordingWindows& windows = cut.value();
    if (windows.windows.rows() == 0) {
      console.err << "anomalyctl: warning: " << files[i] << ": too short for a window of "
                  << info.window_samples << " samples without missing values\n";
    }
    if (windows.rate_hz > 0) {
      const double found = tidy_rate(windows.rate_hz);
      if (rate_hz > 0 && std::abs(found - rate_hz) > 1e-6 * rate_hz) {
        return refuse(files[i] + ": " + short_number(found, 9) + " samples a second, but " +
                      rate_file + " has " + short_number(rate_hz, 9) +
                      "; give the domain a rate_hz, on whose grid all are then put");
      }
      if (rate_hz == 0) rate_file = files[i];
      rate_hz = rate_hz == 0 ? found : rate_hz;
    }
    data.windows += static_cast<std::size_t>(windows.windows.rows());
    data.missing += windows.missing;
    data.gaps += windows.gaps;
    data.dropped += windows.dropped;
    data.recordings.push_back(std::move(windows.windows));
  }
  progress.finish();
  if (info.rate_hz == 0) info.rate_hz = rate_hz;
  return data;
}

std::string loss_text(double loss) { return std::isnan(loss) ? "none" : short_number(loss, 5); }

struct Threshold {
  double fire_p = 0;
  double score = 0;  ///< NaN: each stream has its own
};

/// Where the domain's budget puts the threshold, by the calibration in the file that was written,
/// if it has one.
Result<Threshold> threshold_of(const std::filesystem::path& path, const DomainConfig& domain,
                               const detect::DetectorInfo& info) {
  const auto file = nn::read_tensor_file(path);
  if (!file.ok()) return file.error();
  Threshold threshold;
  threshold.fire_p = detect::fire_p_value(domain.false_alerts,
                                          static_cast<double>(info.hop_samples) / info.rate_hz);
  threshold.score = std::numeric_limits<double>::quiet_NaN();
  const auto found = file.value().tensors.find("calibration");
  if (found == file.value().tensors.end()) return threshold;
  const auto calibration = detect::Calibration::from_floats(found->second.values);
  if (!calibration.ok()) return calibration.error();
  threshold.score = calibration.value().quantile(threshold.fire_p);
  return threshold;
}

void print_training(const std::filesystem::path& path, const DomainConfig& domain,
                    const detect::DetectorInfo& info, const detect::FitReport& report,
                    const TrainingData& data, const Threshold& threshold, bool json,
                    std::ostream& out) {
  if (json) {
    std::string channels;
    for (const std::string& channel : info.channels) {
      channels += (channels.empty() ? "" : ",") + json_string(channel);
    }
    out << "{\"file\":" << json_string(path.string()) << ",\"domain\":" << json_string(domain.name)
        << ",\"kind\":" << json_string(info.kind) << ",\"version\":" << json_string(info.version)
        << ",\"channels\":[" << channels << "],\"rate_hz\":" << json_number(info.rate_hz)
        << ",\"window_samples\":" << info.window_samples << ",\"hop_samples\":" << info.hop_samples
        << ",\"seed\":" << info.seed << ",\"recordings\":" << data.recordings.size()
        << ",\"windows\":" << data.windows << ",\"train_windows\":" << report.train_windows
        << ",\"validation_windows\":" << report.validation_windows
        << ",\"calibration_windows\":" << report.calibration_windows
        << ",\"windows_left_out\":" << data.missing << ",\"gaps\":" << data.gaps
        << ",\"dropped_samples\":" << data.dropped << ",\"epochs\":" << report.epochs
        << ",\"train_loss\":" << json_number(report.train_loss)
        << ",\"validation_loss\":" << json_number(report.validation_loss)
        << ",\"seconds\":" << json_number(report.seconds)
        << ",\"false_alerts\":" << json_string(domain.false_alerts_text)
        << ",\"fire_p_value\":" << json_number(threshold.fire_p)
        << ",\"threshold_score\":" << json_number(threshold.score) << "}\n";
    return;
  }
  Table table({{"", Table::Align::kLeft}, {"", Table::Align::kLeft}});
  table.add({"file", path.string()});
  table.add({"detector", info.kind + " " + info.version + " for domain " + domain.name});
  table.add({"channels", joined(info.channels)});
  table.add({"rate", short_number(info.rate_hz, 9) + " Hz, windows of " +
                         std::to_string(info.window_samples) + ", " +
                         std::to_string(info.hop_samples) + " apart"});
  table.add({"recordings",
             std::to_string(data.recordings.size()) + " with " + std::to_string(data.windows) +
                 " windows, " + std::to_string(data.gaps) +
                 " gaps; left out: " + std::to_string(data.missing) +
                 " windows with missing values, " + std::to_string(data.dropped) + " samples"});
  table.add({"windows", std::to_string(report.train_windows) + " to train, " +
                            std::to_string(report.validation_windows) + " to stop, " +
                            std::to_string(report.calibration_windows) + " to calibrate"});
  table.add({"losses", "train " + short_number(report.train_loss, 5) + ", validation " +
                           loss_text(report.validation_loss) + " after " +
                           std::to_string(report.epochs) + " epochs, " +
                           duration_text(report.seconds)});
  table.add(
      {"threshold", (std::isnan(threshold.score) ? std::string("each stream's own score")
                                                 : "score " + short_number(threshold.score, 5)) +
                        ", p " + short_number(threshold.fire_p, 3) + " for \"" +
                        domain.false_alerts_text + "\""});
  table.print(out);
}

}  // namespace

std::filesystem::path train_target(const Config& config, const DomainConfig& domain,
                                   const std::string& out) {
  std::filesystem::path usual = detector_path(config, domain);
  if (usual.empty()) usual = config.models_directory / (domain.name + ".safetensors");
  if (out.empty()) return usual;
  if (out.ends_with(".safetensors")) return out;
  return std::filesystem::path(out) / usual.filename();
}

int train(const TrainOptions& options, Console& console) {
  if (const Status checked = options.recording.check(); !checked.ok()) {
    return fail(console, checked.error(), kUsage);
  }
  const Result<Config> config = read_config(options.config);
  if (!config.ok()) return fail(console, config.error());
  const Result<DomainConfig> chosen = choose_domain(config.value(), options.domain);
  if (!chosen.ok()) return fail(console, chosen.error(), kUsage);
  const DomainConfig& domain = chosen.value();
  const auto files = list_recordings(options.data);
  if (!files.ok()) return fail(console, files.error());

  detect::FitOptions fit;
  fit.info = training_info(domain);
  const auto data = read_training_data(files.value(), options.recording, domain, fit.info, console);
  if (!data.ok()) return fail(console, data.error());
  fit.epochs = domain.train.epochs;
  fit.patience = domain.train.patience;
  fit.learning_rate = domain.train.learning_rate;
  fit.batch_windows = domain.train.batch_windows;
  fit.threads = options.threads > 0 ? options.threads
                                    : std::max<std::size_t>(1, std::thread::hardware_concurrency());
  Progress progress(console);
  fit.on_progress = [&](const detect::FitProgress& at) {
    progress.update([&] {
      return "epoch " + std::to_string(at.epoch) + "/" + std::to_string(at.epochs) +
             "  train loss " + short_number(at.train_loss, 5) + "  validation loss " +
             loss_text(at.validation_loss) + "  at most " + duration_text(at.seconds_left) +
             " left";
    });
    return true;
  };
  const auto fitted = detect::fit_detector(data.value().recordings, fit);
  progress.finish();
  if (!fitted.ok()) return fail(console, fitted.error());

  const std::filesystem::path path = train_target(config.value(), domain, options.out);
  std::error_code failed;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), failed);
  if (failed) {
    return fail(console, Error{ErrorCode::kUnavailable,
                               path.parent_path().string() + ": " + failed.message()});
  }
  const detect::Detector& detector = *fitted.value().detector;
  if (const Status saved = detector.save(path); !saved.ok()) return fail(console, saved.error());
  // What was written is what the daemon will read.
  const auto reloaded = detect::load_detector(path);
  if (!reloaded.ok()) return fail(console, reloaded.error());
  const auto threshold = threshold_of(path, domain, detector.info());
  if (!threshold.ok()) return fail(console, threshold.error());
  print_training(path, domain, detector.info(), fitted.value().report, data.value(),
                 threshold.value(), options.json, console.out);
  return kOk;
}

}  // namespace anomalyd::app::ctl
