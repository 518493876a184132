#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "http/message.h"

namespace anomalyd::http {

/// "Not Found" of 404; "Status 299" for a code that RFC 9110 does not name.
std::string status_phrase(int status);

/// "Sun, 22 Nov 2026 04:52:20 GMT"
std::string http_date(std::time_t time);

/// False for 1xx, 204 and 304, which have no body whatever the handler put there.
bool may_have_body(int status);

/// Appends the status line and the header of `response` to `out`, with the empty line.
/// A line break in a header value (which may repeat what a client sent) becomes a space.
void append_response_head(std::string& out, const Response& response, std::string_view date,
                          bool keep_alive);

}  // namespace anomalyd::http
