#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "http/message.h"
#include "http/tokens.h"

namespace anomalyd::http {

using Handler = std::function<Response(Request&)>;

/// Where a handler runs: ingest on the connection's own thread, all that may wait on a worker. Only
/// one on a connection may answer `later`.
enum class Where { kConnection, kWorker };

struct Route {
  std::string method;   ///< "GET" also answers HEAD
  std::string pattern;  ///< "/api/v1/streams/{key}/scores"; {name} is one path segment
  Where where = Where::kWorker;
  Handler handler;
  Scope scope = Scope::kAdmin;  ///< what a caller's token needs; a forgotten one opens nothing
};

/// Routes by method and path. Segments are split before they are decoded, so that an encoded
/// slash stays inside its segment. A capture takes one non-empty segment; where two patterns
/// match, the one that is literal at the first segment in which they differ is taken.
/// Threads  const is safe to share.
class Router {
 public:
  /// A pattern without a leading slash, with more than kMaxSegments segments, with a brace that
  /// is not at both ends of its segment, or one the method already has, is a bug: checked.
  void add(Route route);
  struct Match {
    const Route* route = nullptr;  ///< null: no such path, or not with this method
    std::vector<Parameter> captures;
    std::string allow;  ///< methods the path has, "GET, HEAD"; empty: 404
  };
  Match find(std::string_view method, std::string_view raw_path) const;
  const std::vector<Route>& routes() const { return routes_; }

  static constexpr std::size_t kMaxSegments = 32;

 private:
  struct Segment {
    std::string text;  ///< the literal, or the capture's name
    bool is_capture = false;
  };
  static bool matches(const std::vector<Segment>& pattern, std::span<const std::string_view> path);
  static bool is_more_literal(const std::vector<Segment>& a, const std::vector<Segment>& b);
  /// The index of the route that answers; routes_.size() when there is none.
  std::size_t best_of(std::string_view method, std::span<const std::string_view> path) const;
  std::string allowed(std::span<const std::string_view> path) const;

  std::vector<Route> routes_;
  std::vector<std::vector<Segment>> segments_;  ///< of routes_, by index
};

}  // namespace anomalyd::http
