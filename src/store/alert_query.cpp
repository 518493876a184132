#include "store/alert_query.h"

#include <charconv>
#include <system_error>
#include <utility>

#include "store/alert_blob.h"

namespace anomalyd::store {
namespace {

void append_hex(std::string& out, unsigned char byte) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  out += kDigits[byte >> 4U];
  out += kDigits[byte & 0xfU];
}

Result<Cursor> parse_cursor(std::string_view text) {
  std::string bytes;
  bool is_hex = text.size() > 16 && text.size() % 2 == 0 && text.size() <= 1024;
  for (std::size_t i = 0; is_hex && i < text.size(); i += 2) {
    unsigned char byte = 0;
    const auto [end, ec] = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    is_hex = ec == std::errc() && end == text.data() + i + 2;
    bytes += static_cast<char>(byte);
  }
  if (!is_hex) {
    return Error{ErrorCode::kInvalidArgument, "not a cursor of this API: '" +
                                                  std::string(text.substr(0, 64)) +
                                                  "', expected the `next` of the page before"};
  }
  Cursor cursor;
  std::uint64_t start = 0;
  for (std::size_t i = 0; i < 8; ++i) start = start << 8U | static_cast<unsigned char>(bytes[i]);
  cursor.start = static_cast<TimeNs>(start);
  cursor.id = bytes.substr(8);
  return cursor;
}

Error with_path(const std::string& path, Error error) {
  error.message = path + ": " + error.message;
  return error;
}

Status check_query(const AlertQuery& query) {
  if (query.limit < 1 || query.limit > AlertQuery::kMaxLimit) {
    return Error{ErrorCode::kInvalidArgument, "limit: " + std::to_string(query.limit) +
                                                  ", expected 1 to " +
                                                  std::to_string(AlertQuery::kMaxLimit)};
  }
  if (query.labels.size() > kMaxLabels) {
    return Error{ErrorCode::kInvalidArgument, "labels: " + std::to_string(query.labels.size()) +
                                                  ", expected at most " +
                                                  std::to_string(kMaxLabels)};
  }
  if (query.from && query.to && *query.from >= *query.to) {
    return Error{ErrorCode::kInvalidArgument, "from " + to_rfc3339(*query.from) +
                                                  ", expected a time before to (" +
                                                  to_rfc3339(*query.to) + ")"};
  }
  return Done{};
}

}  // namespace

std::string print_cursor(const alert::Alert& last) {
  std::string text;
  for (unsigned shift = 64; shift > 0; shift -= 8) {
    append_hex(text,
               static_cast<unsigned char>(static_cast<std::uint64_t>(last.start) >> (shift - 8)));
  }
  for (const char c : last.id) append_hex(text, static_cast<unsigned char>(c));
  return text;
}

Result<Walk> walk_of(const AlertQuery& query) {
  if (Status good = check_query(query); !good.ok()) return good.error();
  Walk walk{query.to, std::nullopt};
  if (query.cursor.empty()) return walk;
  auto cursor = parse_cursor(query.cursor);
  if (!cursor.ok()) return cursor.error();
  if (walk.to && cursor.value().start >= *walk.to) return walk;
  return Walk{std::nullopt, std::move(cursor).value()};
}

/// `+` keeps an index from being chosen.
std::string select_of(const AlertQuery& query, const Walk& walk) {
  const bool label_leads = query.stream.empty() && !query.labels.empty();
  const std::string lead = label_leads ? "l." : "a.";
  std::string sql = "SELECT " + std::string(kAlertColumns);
  sql += label_leads ? " FROM alert_label AS l CROSS JOIN alert AS a ON a.id = l.id"
                       " WHERE l.name = ? AND l.value = ?"
                     : " FROM alert AS a WHERE 1";
  for (std::size_t i = label_leads ? 1 : 0; i < query.labels.size(); ++i) {
    sql +=
        " AND EXISTS (SELECT 1 FROM alert_label AS m WHERE m.name = ? AND m.value = ?"
        " AND m.id = a.id)";
  }
  if (query.state) sql += query.stream.empty() ? " AND a.state = ?" : " AND +a.state = ?";
  if (!query.stream.empty()) sql += " AND a.stream = ?";
  if (query.from) sql += " AND (+a.state <> 2 OR +a.end_ns > ? OR +a.start_ns >= ?)";
  if (walk.to) sql += " AND " + lead + "start_ns < ?";
  if (walk.cursor) sql += " AND (" + lead + "start_ns, " + lead + "id) < (?, ?)";
  return sql + " ORDER BY " + lead + "start_ns DESC, " + lead + "id DESC LIMIT ?";
}

void bind_query(Statement& rows, const AlertQuery& query, const Walk& walk) {
  for (const Label& label : query.labels) rows.bind(label.name).bind(label.value);
  if (query.state) rows.bind(static_cast<std::int64_t>(*query.state));
  if (!query.stream.empty()) rows.bind(query.stream);
  if (query.from) rows.bind(*query.from).bind(*query.from);
  if (walk.to) rows.bind(*walk.to);
  if (walk.cursor) rows.bind(walk.cursor->start).bind(walk.cursor->id);
  rows.bind(static_cast<std::int64_t>(query.limit) + 1);  // one more tells whether there is more
}

Result<alert::Alert> read_alert(const Statement& row, bool with_context) {
  alert::Alert alert;
  alert.id = row.text(0);
  const std::string where = "alert " + alert.id;
  auto stream = StreamKey::parse(row.text(1));
  if (!stream.ok()) {
    return Error{ErrorCode::kCorrupt, where + ": " + stream.error().message};
  }
  alert.stream = std::move(stream).value();
  alert.domain = row.text(2);
  alert.detector = row.text(3);
  alert.detector_version = row.text(4);
  const std::int64_t state = row.integer(5);
  if (state < 0 || state > static_cast<std::int64_t>(alert::AlertState::kResolved)) {
    return Error{ErrorCode::kCorrupt, where + ": state " + std::to_string(state)};
  }
  alert.state = static_cast<alert::AlertState>(state);
  alert.start = row.integer(6);
  alert.end = row.integer(7);
  alert.fired_at = row.integer(8);
  alert.resolved_at = row.integer(9);
  alert.end_reason = row.text(10);
  alert.threshold_p = row.real(11);
  alert.peak_score = row.real(12);
  alert.peak_p = row.real(13);
  alert.peak_time = row.integer(14);
  auto contributions = decode_contributions(row.blob(15));
  if (!contributions.ok()) return with_path(where, contributions.error());
  alert.contributions = std::move(contributions).value();
  if (with_context) {
    auto context = decode_context(row.blob(16));
    if (!context.ok()) return with_path(where, context.error());
    alert.context = std::move(context).value();
  }
  return alert;
}

}  // namespace anomalyd::store
