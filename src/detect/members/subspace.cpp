#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>

#include "detect/members/blocks.h"

namespace anomalyd::detect {
namespace {

constexpr double kMemoryWindows = 8192;
constexpr std::size_t kRefitWindows = 512;
constexpr double kExplained = 0.95;
constexpr double kFloor = 1e-4;
constexpr std::size_t kLength = 64;
constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

/// Principal components of the last window, mean removed: sqrt(Q / usual Q + T^2 / k), Q what k
/// components leave, T^2 how far they are themselves.
///
/// Numerics  incremental covariance in double, components anew once in kRefitWindows.
/// Cost      for each window (one in `step` samples): d^2 / 2 + d k multiply-adds and the
///           eigenproblem's 9 d^3 once in kRefitWindows; 8 d (d / 2 + k) bytes.
/// Source    Q and T^2: Jackson and Mudholkar 1979.
class Subspace final : public StreamMember {
 public:
  Subspace(const StreamTraits& traits, std::size_t most_values)
      : blocks_(traits, kLength, most_values),
        covariance_(blocks_.size(), kMemoryWindows),
        residual_(blocks_.size(), 0.0) {}

  float follow(const History& history) override {
    if (!blocks_.follow(history)) return score_;
    score_ = kNone;
    if (!blocks_.full() || components_.rows() == 0) return score_;
    blocks_.window(0, window_);
    const auto [q, t] = split(residual_);
    score_ = static_cast<float>(
        std::sqrt(q / (usual_ + kFloor) + t / static_cast<double>(components_.rows())));
    return score_;
  }

  void learn(const History& history, std::size_t back, std::size_t clean) override {
    const std::ptrdiff_t points = blocks_.completed(history, back);
    if (points < 0 || clean < blocks_.samples()) return;
    blocks_.window(static_cast<std::size_t>(points), window_);
    if (components_.rows() > 0) {
      const double q = split(scratch_).q;
      residuals_ = std::min(residuals_ + 1, kMemoryWindows);
      usual_ += (std::min(q, 25 * usual_ + 1) - usual_) / residuals_;
    }
    covariance_.add(window_);
    const bool is_first =
        components_.rows() == 0 && covariance_.count() >= 2.0 * static_cast<double>(blocks_.size());
    if (++since_fit_ >= kRefitWindows || is_first) fit();
  }

  void interrupt() override {
    blocks_.interrupt();
    score_ = kNone;
  }

  void shares(const History& /*history*/, std::span<double> channels) const override {
    double sum = 0;
    for (std::size_t c = 0; c < channels.size(); ++c) {
      channels[c] = 0;
      for (std::size_t i = 0; i < blocks_.points(); ++i) {
        const double value = residual_[c * blocks_.points() + i];
        channels[c] += value * value;
      }
      sum += channels[c];
    }
    for (double& share : channels) {
      share = sum > 0 ? share / sum : 1.0 / static_cast<double>(channels.size());
    }
  }

  std::size_t span() const override { return blocks_.samples(); }
  std::size_t context() const override { return 1; }
  std::size_t bytes() const override {
    // The components are counted as all there can be.
    return sizeof *this + blocks_.bytes() + covariance_.bytes() +
           (window_.capacity() + blocks_.size()) * sizeof(float) +
           (2 * blocks_.size() + blocks_.size() * blocks_.size()) * sizeof(double);
  }
  double operations() const override {
    const auto d = static_cast<double>(blocks_.size());
    return (4 * d * d + 9 * d * d * d / static_cast<double>(kRefitWindows)) /
           static_cast<double>(blocks_.step());
  }
  std::unique_ptr<StreamMember> clone() const override { return std::make_unique<Subspace>(*this); }

  void archive(Archive& archive) override {
    blocks_.archive(archive);
    covariance_.archive(archive);
    const std::size_t d = blocks_.size();
    auto k = static_cast<std::size_t>(components_.rows());
    archive.within(k, 0, d, "the number of components");
    if (archive.reads()) {
      components_.resize(static_cast<Eigen::Index>(k), static_cast<Eigen::Index>(d));
      components_.setZero();
      values_.assign(k, 0.0);
    }
    archive.raw(std::span(components_.data(), k * d));
    archive.sized(values_, "variances of components");
    archive.sized(residual_, "residuals");  // window_ and scratch_ are of one call alone
    archive(usual_, residuals_, since_fit_, score_);
  }

 private:
  struct Parts {
    double q;
    double t;
  };

  /// Of window_; leaves what the components do not explain in `residual`.
  Parts split(std::vector<double>& residual) const {
    const std::size_t d = blocks_.size();
    residual.resize(d);
    for (std::size_t i = 0; i < d; ++i) {
      residual[i] = static_cast<double>(window_[i]) - covariance_.mean()[i];
    }
    Parts parts{0, 0};
    for (Eigen::Index k = 0; k < components_.rows(); ++k) {
      const double* component = components_.data() + k * components_.cols();
      double lanes[4] = {0, 0, 0, 0};
      for (std::size_t i = 0; i < d; ++i) lanes[i % 4] += component[i] * residual[i];
      const double along = (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
      for (std::size_t i = 0; i < d; ++i) residual[i] -= along * component[i];
      parts.t += along * along / (values_[static_cast<std::size_t>(k)] + kFloor);
    }
    for (const double value : residual) parts.q += value * value / static_cast<double>(d);
    return parts;
  }

  void fit() {
    since_fit_ = 0;
    const auto d = static_cast<Eigen::Index>(blocks_.size());
    Eigen::MatrixXd matrix(d, d);
    for (Eigen::Index i = 0; i < d; ++i) {
      for (Eigen::Index j = 0; j <= i; ++j) {
        matrix(i, j) = matrix(j, i) =
            covariance_.at(static_cast<std::size_t>(i), static_cast<std::size_t>(j));
      }
    }
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix);
    if (solver.info() != Eigen::Success) return;
    double total = 0;
    for (Eigen::Index i = 0; i < d; ++i) total += std::max(0.0, solver.eigenvalues()(i));
    if (!(total > 0)) return;
    double explained = 0;
    Eigen::Index k = 0;
    // At least one direction is left to be surprising in.
    while (k < d - 1 && explained < kExplained * total) {
      explained += std::max(0.0, solver.eigenvalues()(d - 1 - k));
      ++k;
    }
    components_.resize(k, d);
    values_.resize(static_cast<std::size_t>(k));
    for (Eigen::Index i = 0; i < k; ++i) {
      components_.row(i) = solver.eigenvectors().col(d - 1 - i).transpose();
      values_[static_cast<std::size_t>(i)] = std::max(0.0, solver.eigenvalues()(d - 1 - i));
    }
  }

  Blocks blocks_;
  FadingCovariance covariance_;
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> components_;
  std::vector<double> values_;
  std::vector<float> window_;
  std::vector<double> residual_;  // of the newest window
  std::vector<double> scratch_;
  double usual_ = 0;  // Q
  double residuals_ = 0;
  std::size_t since_fit_ = 0;
  float score_ = kNone;
};

}  // namespace

MadeMember make_subspace(const StreamTraits& traits, const MemberSize& size) {
  const std::size_t most = std::max(size.most_dimensions, traits.channels);
  if (most > 128 || traits.samples < 4 * std::max(kLength, most) || most < 2) return nullptr;
  return std::make_unique<Subspace>(traits, most);
}

}  // namespace anomalyd::detect
