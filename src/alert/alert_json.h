#pragma once

#include <string>

#include "alert/alert.h"

namespace anomalyd::alert {

/// An alert as one JSON object without line breaks, to be sent alone or as an array's element:
/// the one form of the API, the demo and the notifiers. Times are RFC 3339; what is not there yet
/// (`fired_at`, `resolved_at`, `end_reason`) is null. With `with_context` there is also `context`
/// (null when the alert has none): `actual` and `expected` by channel name.
///
/// Numerics  the shortest decimals that read back as the same number; NaN and Inf are null.
std::string to_json(const Alert& alert, bool with_context);

}  // namespace anomalyd::alert
