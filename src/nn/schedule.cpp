#include "nn/schedule.h"

#include <cmath>
#include <numbers>
#include <string>

namespace anomalyd::nn {

Result<Schedule> Schedule::make(std::string_view name, std::uint64_t warmup, std::uint64_t steps,
                                double floor) {
  if (name != "constant" && name != "cosine") {
    return Error{ErrorCode::kUnsupported,
                 "schedule: unknown name \"" + std::string(name) + "\", expected constant, cosine"};
  }
  const Schedule schedule{name == "cosine" ? Kind::kCosine : Kind::kConstant, warmup, steps, floor};
  if (Status status = schedule.check(); !status.ok()) return status.error();
  return schedule;
}

Status Schedule::check() const {
  if (!(floor >= 0 && floor <= 1)) {
    return Error{ErrorCode::kInvalidArgument,
                 "schedule: floor is " + std::to_string(floor) + ", expected 0 to 1"};
  }
  if (kind == Kind::kCosine && steps <= warmup) {
    return Error{ErrorCode::kInvalidArgument, "schedule: steps is " + std::to_string(steps) +
                                                  ", expected more than the warm-up's " +
                                                  std::to_string(warmup)};
  }
  return Done{};
}

double Schedule::factor(std::uint64_t step) const {
  if (step < warmup) return static_cast<double>(step + 1) / static_cast<double>(warmup);
  if (kind == Kind::kConstant) return 1;
  if (step >= steps) return floor;
  const double part = static_cast<double>(step - warmup) / static_cast<double>(steps - warmup);
  return floor + (1 - floor) * 0.5 * (1 + std::cos(std::numbers::pi * part));
}

}  // namespace anomalyd::nn
