#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sample_batch.h"
#include "base/stream_key.h"
#include "base/time.h"
#include "ingest/csv.h"
#include "nn/types.h"
#include "stream/windower.h"

namespace anomalyd::app::ctl {

/// How the CSV files of a command are read; what their flags say.
struct RecordingOptions {
  std::string time_column;
  std::string time_unit = "auto";
  double rate_hz = 0;
  /// In [0, 1]: only samples with first + from * (last - first) <= time < first + to * (last -
  /// first); with to = 1 the last one is in, so that [0, a) and [a, 1] are the whole.
  double from_share = 0;
  double to_share = 1;

  /// Errors   kInvalidArgument, naming the flag.
  Status check() const;
};

/// The files of `paths`: a file as it is, of a folder all *.csv in it (not below), by name.
/// Errors   kNotFound, naming the path; kInvalidArgument for a folder without any.
Result<std::vector<std::string>> list_recordings(const std::vector<std::string>& paths);

/// What one pass over a CSV file found.
struct Recording {
  std::string path;
  std::vector<std::string> channels;
  std::uint64_t samples = 0;  ///< in the share, at least one value each
  TimeNs first = 0;           ///< earliest and latest stamp of the whole file
  TimeNs last = 0;
  TimeNs begin = 0;  ///< samples with begin <= time < end are in the share
  TimeNs end = 0;
  TimeNs earliest = 0;  ///< earliest and latest stamp of the share
  TimeNs latest = 0;
};

/// Reads one recording's share, sample by sample, as all commands see it: a row without any value
/// is no sample, since no protocol could carry it.
/// Threads   one at a time.
class RecordingReader {
 public:
  /// Looks over the whole file first, so that a bad row is found before anything is done with the
  /// good ones. `channels` empty: all columns of the file.
  /// Errors    the CsvReader's; kInvalidArgument for a file without samples.
  static Result<RecordingReader> open(const std::string& path, const RecordingOptions& options,
                                      const std::vector<std::string>& channels = {});

  const Recording& recording() const { return recording_; }
  /// False at the end. `values` has the file's columns in order.
  Result<bool> next(TimeNs& time, std::span<float> values);

 private:
  RecordingReader(ingest::CsvReader csv, Recording recording)
      : csv_(std::move(csv)), recording_(std::move(recording)) {}

  ingest::CsvReader csv_;
  Recording recording_;
};

/// A file's name without folder and extension, as a stream's name: bytes that a name cannot have
/// are '_', and 'x' goes before a first '#' or '_', which line protocol gives a meaning of its own.
std::string stream_name_from(std::string_view path);

/// "site=lab,unit=7" to labels. Empty text: none.
/// Errors   kInvalidArgument, saying what was expected.
Result<std::vector<Label>> parse_labels(std::string_view text);

/// The windows of one recording, cut by the daemon's own Windower.
struct RecordingWindows {
  nn::Matrix<float> windows;  ///< (n, window_samples * channels), in time order
  double rate_hz = 0;         ///< 0: too short to tell
  std::size_t missing = 0;    ///< windows left out because a channel was missing
  std::uint64_t gaps = 0;
  std::uint64_t dropped = 0;  ///< samples that were late, duplicate or more than the grid holds
};

/// Unlike a stream, a recording ends: samples that wait for late ones are placed.
/// Errors   the reader's.
Result<RecordingWindows> cut_windows(RecordingReader& reader, const stream::WindowRules& rules);

}  // namespace anomalyd::app::ctl
