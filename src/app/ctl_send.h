#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/ctl_output.h"
#include "base/result.h"
#include "base/stream_key.h"
#include "base/time.h"
#include "http/client.h"

namespace anomalyd::app::ctl {

inline constexpr std::string_view kDefaultUrl = "http://127.0.0.1:8420";

/// How a command gets at a daemon that does not let everybody in.
struct ServerFlags {
  std::string token_file;   ///< holds the token; empty: none is sent
  std::string ca_file;      ///< PEM, for https; empty: the system's own
  std::string certificate;  ///< PEM, for a daemon that asks for one
  std::string key;
};

/// A client of the daemon at `url`.
/// Errors    kNotFound or kInvalidArgument for a URL or a file that does not do.
Result<std::unique_ptr<http::Client>> make_client(const std::string& url, const ServerFlags& flags,
                                                  std::chrono::milliseconds timeout);

/// What an answer that is no success says: problem+json's detail, InfluxDB's message or error, or
/// the beginning of the body, after the status: "400: ...".
std::string server_detail(const http::Response& response);
/// kUnreachable when the server is away, else kFailed.
Exit exit_of_server_error(const Error& error);

/// How samples go over HTTP.
enum class WireFormat {
  kLineProtocol,  ///< POST /api/v2/write: every stamp and float32 arrives as it is
  kRows,          ///< POST /api/v1/samples as NDJSON rows: the same, larger
  kColumns,       ///< ... as NDJSON columns: stamps become even within each object
};
/// "line-protocol", "rows" or "columns"; the error lists them.
Result<WireFormat> parse_wire_format(std::string_view name);

/// One stream as a sender knows it.
struct SendStream {
  StreamKey key;
  std::vector<std::string> channels;
  double rate_hz = 0;  ///< kColumns only
};

/// Samples on their way, of any of the sender's streams.
class SendBatch {
 public:
  struct Row {
    std::uint32_t stream = 0;
    std::size_t value_begin = 0;
    TimeNs time = 0;
  };
  void add(std::uint32_t stream, TimeNs time, std::span<const float> values);
  void clear();
  std::size_t size() const { return rows_.size(); }
  const Row& row(std::size_t i) const { return rows_[i]; }
  std::span<const float> values(const Row& row, std::size_t count) const {
    return std::span(values_).subspan(row.value_begin, count);
  }

 private:
  std::vector<Row> rows_;
  std::vector<float> values_;
};

/// Turns samples into request bodies.
///
/// Numerics  values have nine significant digits, so that the float32 that arrives is the one that
///           left; times are integer nanoseconds. A missing value is left out (null in columns).
class Encoder {
 public:
  /// Errors   kInvalidArgument for a name or label that the format cannot carry, saying which.
  static Result<Encoder> make(WireFormat format, std::vector<SendStream> streams);

  std::string_view target() const;
  std::string_view content_type() const;
  /// Rows first..last-1.
  std::string encode(const SendBatch& batch, std::size_t first, std::size_t last) const;

 private:
  Encoder(WireFormat format, std::vector<SendStream> streams)
      : format_(format), streams_(std::move(streams)) {}
  std::size_t columns_end(const SendBatch& batch, std::size_t first, std::size_t last) const;
  void append_columns(std::string& out, const SendBatch& batch, std::size_t first,
                      std::size_t last) const;

  WireFormat format_;
  std::vector<SendStream> streams_;
  std::vector<std::string> heads_;                // of each stream: what comes before its values
  std::vector<std::vector<std::string>> fields_;  // and before each value
};

struct SendCounts {
  std::uint64_t accepted = 0;  ///< samples
  std::uint64_t refused = 0;   ///< samples that the server did not want
  std::uint64_t requests = 0;
  std::uint64_t retries = 0;
};

struct SendOptions {
  bool gzip = false;
  std::chrono::nanoseconds busy_for = std::chrono::seconds(120);  ///< of 503s in a row
  std::chrono::nanoseconds away_for = std::chrono::seconds(30);   ///< once it has answered
};

using Sleep = std::function<void(std::chrono::nanoseconds)>;

/// Sends batches in order over one connection until the server has them: waits as a 503 says
/// (Retry-After, else from 50 ms, doubled up to 5 s), halves what is too large (413), tries again
/// when a server that was there does not answer.
///
/// Errors    kUnavailable: it is away; kExhausted: it stayed busy; kInvalidArgument: it refused
///           the request as a whole, with its own words. Samples that it refuses one by one are
///           counted, and the first of its reasons kept.
/// Threads   one at a time.
class Sender {
 public:
  Sender(std::unique_ptr<http::Client> client, Encoder encoder, SendOptions options);

  Status send(const SendBatch& batch, const Sleep& sleep);
  const SendCounts& counts() const { return counts_; }
  /// What the server said of the first samples that it refused; empty when it took all.
  const std::string& refusal() const { return refusal_; }
  /// Rows that a batch should not exceed: less after a 413.
  std::size_t max_rows() const { return max_rows_; }

 private:
  Status send_range(const SendBatch& batch, std::size_t first, std::size_t last,
                    const Sleep& sleep);
  Status send_rows(const SendBatch& batch, std::size_t first, std::size_t last, const Sleep& sleep);
  Status take_answer(const http::Response& response, std::size_t rows);

  std::unique_ptr<http::Client> client_;
  Encoder encoder_;
  const SendOptions options_;
  SendCounts counts_;
  std::string refusal_;
  std::size_t max_rows_ = static_cast<std::size_t>(-1);
  bool reached_ = false;
};

}  // namespace anomalyd::app::ctl
