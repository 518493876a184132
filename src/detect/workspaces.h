#pragma once

#include <mutex>
#include <utility>
#include <vector>

#include "nn/plan.h"

namespace anomalyd::detect {

/// A compiled network's workspaces: as many as threads have scored at once.
/// Threads   any.
class Workspaces {
 public:
  /// One that is nobody else's until it is destroyed.
  class Lease {
   public:
    explicit Lease(const nn::Plan& plan, Workspaces& from) : from_(from), own_(from.take(plan)) {}
    ~Lease() { from_.give(std::move(own_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    nn::Plan::Workspace& get() { return own_; }

   private:
    Workspaces& from_;
    nn::Plan::Workspace own_;
  };

 private:
  nn::Plan::Workspace take(const nn::Plan& plan) {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      free_.reserve(++made_);  // so that give() never allocates
      return plan.workspace();
    }
    nn::Plan::Workspace taken = std::move(free_.back());
    free_.pop_back();
    return taken;
  }
  void give(nn::Plan::Workspace&& workspace) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(workspace));
  }

  std::mutex mutex_;
  std::vector<nn::Plan::Workspace> free_;
  std::size_t made_ = 0;
};

}  // namespace anomalyd::detect
