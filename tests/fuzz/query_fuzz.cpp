// Request targets: what decodes must be clean text, and encode back to what decodes to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/client.h"
#include "http/router.h"
#include "http/target.h"

namespace {

using namespace anomalyd::http;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_text(const std::string& text) {
  for (const char c : text) {
    require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  }
  std::string again;
  require(anomalyd::http::percent_decode(percent_encode(text), false, again).ok());
  require(again == text);
}

const Router& router() {
  static const Router instance = [] {
    Router made;
    for (const char* pattern : {"/", "/api/v1/streams/{key}", "/api/v1/streams/{key}/scores",
                                "/{a}/{b}/{c}", "/api/{b}/streams"}) {
      made.add({"GET", pattern, Where::kWorker, [](Request&) { return Response{}; }});
    }
    return made;
  }();
  return instance;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(data, data + size);
  const auto target = split_target(text);
  if (!target.ok()) return 0;
  require(target.value().path.size() + target.value().query.size() <= size + 1);

  std::string path;
  const bool is_path = percent_decode(target.value().path, false, path).ok();
  if (is_path) check_text(path);
  std::vector<Parameter> query;
  if (!parse_query(target.value().query, query).ok()) return 0;
  for (const Parameter& parameter : query) {
    require(!parameter.name.empty());
    check_text(parameter.name);
    check_text(parameter.value);
  }
  const auto match = router().find("GET", target.value().path);
  if (match.route != nullptr) require(is_path);
  for (const Parameter& capture : match.captures) {
    require(!capture.value.empty());
    check_text(capture.value);
  }
  return 0;
}
