#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "alert/alert.h"
#include "store/database.h"
#include "store/sqlite.h"

namespace anomalyd::store {

/// The columns of an alert as `a`, all but the context, in the order that read_alert() knows.
inline constexpr std::string_view kAlertColumns =
    "a.id, a.stream, a.domain, a.detector, a.detector_version, a.state, a.start_ns, a.end_ns, "
    "a.fired_ns, a.resolved_ns, a.end_reason, a.threshold_p, a.peak_score, a.peak_p, a.peak_ns, "
    "a.contributions";

/// The last alert of a page: its start, 16 hex digits, then the bytes of its id in hex.
struct Cursor {
  TimeNs start = 0;
  std::string id;
};
std::string print_cursor(const alert::Alert& last);

/// Where the walk over the alerts, newest first, starts. Of a time and a cursor only the tighter
/// one is there, so that the index is entered there.
struct Walk {
  std::optional<TimeNs> to;
  std::optional<Cursor> cursor;
};
/// Errors   kInvalidArgument for a query that cannot be: cursor, limit, from not before to.
Result<Walk> walk_of(const AlertQuery& query);

/// What leads is walked in the order of the answer: the stream, else the first label, else the
/// state, else all.
std::string select_of(const AlertQuery& query, const Walk& walk);
/// In the order of select_of().
void bind_query(Statement& rows, const AlertQuery& query, const Walk& walk);

/// Reads kAlertColumns, and the context when it is the column after them.  Errors  kCorrupt.
Result<alert::Alert> read_alert(const Statement& row, bool with_context);

}  // namespace anomalyd::store
