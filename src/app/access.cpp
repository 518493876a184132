#include <cstdlib>
#include <ctime>

#include "app/config.h"

namespace anomalyd::app {
namespace {

Error named(std::string_view key, const Error& error) {
  return Error{error.code, "http." + std::string(key) + ": " + error.message};
}

}  // namespace

Status check_exposure(const Config& config) {
  const bool has_guard = !config.tokens.empty() || !config.tls.certificate.empty();
  if (has_guard || config.insecure || is_loopback(config.http.address)) return Done{};
  return Error{ErrorCode::kInvalidArgument,
               "http.listen: " + config.listen +
                   " is reachable from other machines, and there are neither tokens nor TLS: set "
                   "http.tokens (see `anomalyctl token --help`), http.tls_certificate and "
                   "http.tls_key, or listen on 127.0.0.1; http.insecure = true lets everybody in"};
}

std::vector<std::string> exposure_warnings(const Config& config) {
  std::vector<std::string> warnings;
  if (is_loopback(config.http.address)) return warnings;
  const bool has_tls = !config.tls.certificate.empty();
  if (config.tokens.empty() && config.tls.client_ca.empty()) {
    warnings.emplace_back(
        "whoever reaches this address may do everything: neither http.tokens nor "
        "http.tls_client_ca is set");
  }
  if (!has_tls) {
    warnings.emplace_back(config.tokens.empty()
                              ? "samples and answers can be read on the way: no TLS"
                              : "samples, answers and tokens can be read on the way: no TLS");
  }
  return warnings;
}

Result<std::shared_ptr<const http::TokenSet>> load_tokens(const Config& config) {
  if (config.tokens.empty()) return std::shared_ptr<const http::TokenSet>();
  auto tokens = http::TokenSet::load(config.tokens);
  if (!tokens.ok()) return named("tokens", tokens.error());
  return tokens;
}

Result<std::shared_ptr<const http::TlsContext>> load_tls(const Config& config) {
  if (config.tls.certificate.empty()) return std::shared_ptr<const http::TlsContext>();
  auto tls = http::TlsContext::server(config.tls);
  if (!tls.ok()) return named("tls", tls.error());
  return tls;
}

Status check_access(const Config& config) {
  Config here = config;
  const auto is_credential = [](const std::filesystem::path& path) {
    return path.string().starts_with("credential:");
  };
  if (std::getenv("CREDENTIALS_DIRECTORY") == nullptr) {  // NOLINT(concurrency-mt-unsafe)
    if (is_credential(here.tokens)) here.tokens.clear();
    if (is_credential(here.tls.certificate) || is_credential(here.tls.key) ||
        is_credential(here.tls.client_ca)) {
      here.tls = {};
    }
  }
  const auto tokens = load_tokens(here);
  if (!tokens.ok()) return tokens.error();
  const auto tls = load_tls(here);
  if (!tls.ok()) return tls.error();
  if (tls.value() == nullptr) return Done{};
  const std::string problem = tls.value()->validity_problem(std::time(nullptr));
  if (problem.empty()) return Done{};
  return named("tls",
               Error{ErrorCode::kInvalidArgument, here.tls.certificate.string() + ": " + problem});
}

}  // namespace anomalyd::app
