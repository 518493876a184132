#include "http/router.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/check.h"
#include "http/target.h"

namespace anomalyd::http {
namespace {

/// The pieces between the slashes of "/a/b"; "/" has one, empty. Nothing when there are too many
/// or the path does not start with a slash.
struct Split {
  std::array<std::string_view, Router::kMaxSegments> segments;
  std::size_t count = 0;
};
std::optional<Split> split(std::string_view path) {
  if (path.empty() || path.front() != '/') return std::nullopt;
  path.remove_prefix(1);
  Split out;
  for (;;) {
    if (out.count == out.segments.size()) return std::nullopt;
    const std::size_t end = path.find('/');
    out.segments[out.count++] = path.substr(0, end);
    if (end == std::string_view::npos) return out;
    path.remove_prefix(end + 1);
  }
}

/// Nothing to decode and nothing to refuse, as nearly always.
bool is_plain(std::string_view segment) {
  return std::all_of(segment.begin(), segment.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '%'; });
}

/// GET answers HEAD, but a route made for HEAD goes before it; 0: not at all.
int rank_of(std::string_view route_method, std::string_view method) {
  if (route_method == method) return 2;
  return method == "HEAD" && route_method == "GET" ? 1 : 0;
}

void add_method(std::vector<std::string_view>& methods, std::string_view method) {
  if (std::find(methods.begin(), methods.end(), method) == methods.end()) {
    methods.push_back(method);
  }
}

}  // namespace

void Router::add(Route route) {
  const auto pieces = split(route.pattern);
  ANOMALYD_CHECK(pieces.has_value(), "a route's pattern starts with '/', of few segments");
  ANOMALYD_CHECK(!route.method.empty() && route.handler, "a route has a method and a handler");
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < pieces->count; ++i) {
    std::string_view text = pieces->segments[i];
    const bool is_capture = text.size() > 2 && text.front() == '{' && text.back() == '}';
    if (is_capture) text = text.substr(1, text.size() - 2);
    ANOMALYD_CHECK(text.find_first_of("{}") == std::string_view::npos, "a route's braces");
    segments.push_back({std::string(text), is_capture});
  }
  for (const Route& other : routes_) {
    ANOMALYD_CHECK(other.method != route.method || other.pattern != route.pattern,
                   "a route is added once");
  }
  routes_.push_back(std::move(route));
  segments_.push_back(std::move(segments));
}

bool Router::matches(const std::vector<Segment>& pattern, std::span<const std::string_view> path) {
  if (pattern.size() != path.size()) return false;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i].is_capture ? path[i].empty() : path[i] != pattern[i].text) return false;
  }
  return true;
}

bool Router::is_more_literal(const std::vector<Segment>& a, const std::vector<Segment>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].is_capture != b[i].is_capture) return b[i].is_capture;
  }
  return false;
}

std::size_t Router::best_of(std::string_view method, std::span<const std::string_view> path) const {
  std::size_t best = routes_.size();
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    const int rank = rank_of(routes_[i].method, method);
    if (rank == 0 || !matches(segments_[i], path)) continue;
    if (best == routes_.size() || is_more_literal(segments_[i], segments_[best]) ||
        (rank > rank_of(routes_[best].method, method) &&
         !is_more_literal(segments_[best], segments_[i]))) {
      best = i;
    }
  }
  return best;
}

std::string Router::allowed(std::span<const std::string_view> path) const {
  std::vector<std::string_view> methods;
  for (std::size_t i = 0; i < routes_.size(); ++i) {
    if (!matches(segments_[i], path)) continue;
    add_method(methods, routes_[i].method);
    if (routes_[i].method == "GET") add_method(methods, "HEAD");
  }
  std::string out;
  for (const std::string_view method : methods) {
    if (!out.empty()) out += ", ";
    out += method;
  }
  return out;
}

Router::Match Router::find(std::string_view method, std::string_view raw_path) const {
  Match match;
  const auto pieces = split(raw_path);
  if (!pieces) return match;
  std::array<std::string, kMaxSegments> decoded;
  std::array<std::string_view, kMaxSegments> segments;
  for (std::size_t i = 0; i < pieces->count; ++i) {
    segments[i] = pieces->segments[i];
    if (is_plain(segments[i])) continue;
    if (!percent_decode(segments[i], false, decoded[i]).ok()) return match;
    segments[i] = decoded[i];
  }
  const std::span<const std::string_view> path(segments.data(), pieces->count);

  const std::size_t best = best_of(method, path);
  if (best == routes_.size()) {
    match.allow = allowed(path);
    return match;
  }
  match.route = &routes_[best];
  for (std::size_t i = 0; i < path.size(); ++i) {
    const Segment& segment = segments_[best][i];
    if (segment.is_capture) match.captures.push_back({segment.text, std::string(path[i])});
  }
  return match;
}

}  // namespace anomalyd::http
