#pragma once

#include <string_view>

namespace anomalyd::app {

/// docs/openapi.json, as it was built in.
std::string_view openapi_document();

}  // namespace anomalyd::app
