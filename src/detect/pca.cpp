#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>

#include "detect/member.h"
#include "detect/residual.h"
#include "nn/product.h"

namespace anomalyd::detect {
namespace {

using Eigen::Index;
using DoubleMatrix = nn::Matrix<double>;

constexpr double kExplainedShare = 0.95;
constexpr Index kMaxComponents = 128;
// The eigenproblem grows with the cube of this: a second or two.
constexpr Index kMaxProblem = 1024;

/// Principal components of normalised windows: score = residual outside the usual subspace, each
/// channel's mean squared residual against its usual one (ResidualScale).
///
/// Shapes    mean (d)  components (k, d), rows orthonormal, d = samples * channels.
/// Units     none.
/// Numerics  scores in double from float32 components; one window at a time.
/// Cost      2 d k multiply-adds a window.
/// Source    Q statistic (squared prediction error): Jackson and Mudholkar 1979; channel scaling
///           instead of its chi-square threshold, because the calibration sets the threshold.
class Pca final : public Member {
 public:
  Pca(std::vector<float> mean, nn::Matrix<float> components, ResidualScale residual)
      : mean_(std::move(mean)),
        components_(std::move(components)),
        rows_(components_.cast<double>()),
        columns_(rows_.transpose()),
        residual_(std::move(residual)) {}

  std::vector<float> reconstruct(std::span<const float> window) const {
    const auto d = static_cast<Index>(mean_.size());
    ANOMALYD_CHECK(window.size() == mean_.size(), "pca: a window of another size");
    std::vector<double> centred(mean_.size());
    for (std::size_t i = 0; i < mean_.size(); ++i) {
      centred[i] = static_cast<double>(window[i]) - static_cast<double>(mean_[i]);
    }
    std::vector<double> latent(static_cast<std::size_t>(rows_.rows()), 0.0);
    nn::accumulate_product<double>(1, d, rows_.rows(), centred.data(), d, 1, columns_.data(),
                                   columns_.cols(), latent.data(), rows_.rows());
    std::vector<double> rebuilt(mean_.begin(), mean_.end());
    nn::accumulate_product<double>(1, rows_.rows(), d, latent.data(), rows_.rows(), 1, rows_.data(),
                                   d, rebuilt.data(), d);
    return {rebuilt.begin(), rebuilt.end()};
  }

  std::vector<double> energies(std::span<const float> window) const {
    return channel_energies(window, reconstruct(window), residual_.usual().size());
  }

  void score(const nn::Matrix<float>& windows, std::span<const StreamState* const> /*states*/,
             std::span<float> scores) const override {
    for (Index row = 0; row < windows.rows(); ++row) {
      scores[static_cast<std::size_t>(row)] =
          residual_.score(energies({windows.data() + row * windows.cols(), mean_.size()}));
    }
  }

  MemberExplanation explain(const StreamState& /*state*/,
                            std::span<const float> normalised) const override {
    MemberExplanation why;
    why.expected = reconstruct(normalised);
    why.energies =
        residual_.shares(channel_energies(normalised, why.expected, residual_.usual().size()));
    return why;
  }

  void save(nn::TensorFile& file) const override {
    const auto k = static_cast<std::size_t>(components_.rows());
    file.tensors["pca.mean"] = {{mean_.size()}, mean_};
    file.tensors["pca.components"] = {
        {k, mean_.size()}, {components_.data(), components_.data() + components_.size()}};
    file.tensors["pca.residual"] = {{residual_.usual().size()}, residual_.usual()};
  }

 private:
  std::vector<float> mean_;
  nn::Matrix<float> components_;  // (k, d)
  DoubleMatrix rows_;             // (k, d)
  DoubleMatrix columns_;          // (d, k)
  ResidualScale residual_;
};

/// Rows of `windows` minus `mean`, at most kMaxProblem of them, evenly spread, when the windows
/// themselves are longer than that.
DoubleMatrix centred_rows(const nn::Matrix<float>& windows, const std::vector<float>& mean) {
  const Index d = windows.cols();
  const Index n = d > kMaxProblem ? std::min(windows.rows(), kMaxProblem) : windows.rows();
  DoubleMatrix rows(n, d);
  for (Index i = 0; i < n; ++i) {
    const Index from = i * windows.rows() / n;
    for (Index j = 0; j < d; ++j) {
      rows(i, j) = static_cast<double>(windows(from, j)) -
                   static_cast<double>(mean[static_cast<std::size_t>(j)]);
    }
  }
  return rows;
}

/// The leading right singular vectors of `rows` as rows, enough for kExplainedShare of the
/// energy: from the smaller of the two Gram matrices.
nn::Matrix<float> components_of(const DoubleMatrix& rows) {
  const Index n = rows.rows();
  const Index d = rows.cols();
  const bool is_wide = d > n;
  const Index size = is_wide ? n : d;
  DoubleMatrix gram = DoubleMatrix::Zero(size, size);
  const DoubleMatrix transposed = rows.transpose();
  const DoubleMatrix& left = is_wide ? rows : transposed;
  const DoubleMatrix& right = is_wide ? transposed : rows;
  nn::accumulate_product<double>(size, left.cols(), size, left.data(), left.cols(), 1, right.data(),
                                 right.cols(), gram.data(), size);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram);
  double total = 0;
  for (Index i = 0; i < size; ++i) total += std::max(0.0, solver.eigenvalues()(i));
  // At least one direction is left to be surprising in.
  const Index most = std::min({kMaxComponents, size - 1, d - 1});
  std::vector<Eigen::RowVectorXd> kept;
  double explained = 0;
  for (Index i = size - 1; i >= 0 && static_cast<Index>(kept.size()) < most; --i) {
    const double value = solver.eigenvalues()(i);
    // Nothing but rounding is left.
    if (!(value > 1e-12 * total) || explained >= kExplainedShare * total) break;
    explained += value;
    const Eigen::VectorXd vector = solver.eigenvectors().col(i);
    Eigen::RowVectorXd component = Eigen::RowVectorXd::Zero(d);
    if (is_wide) {
      for (Index r = 0; r < n; ++r) component += vector(r) * rows.row(r);
      component /= std::sqrt(value);
    } else {
      component = vector.transpose();
    }
    kept.push_back(std::move(component));
  }
  nn::Matrix<float> components(static_cast<Index>(kept.size()), d);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    components.row(static_cast<Index>(i)) = kept[i].cast<float>();
  }
  return components;
}

}  // namespace

Result<std::unique_ptr<Member>> fit_pca(const FitInput& input) {
  const auto d = static_cast<std::size_t>(input.train.cols());
  std::vector<double> sums(d, 0.0);
  for (Index row = 0; row < input.train.rows(); ++row) {
    for (std::size_t i = 0; i < d; ++i) {
      sums[i] += static_cast<double>(input.train(row, static_cast<Index>(i)));
    }
  }
  std::vector<float> mean;
  mean.reserve(d);
  for (const double sum : sums) {
    mean.push_back(static_cast<float>(sum / static_cast<double>(input.train.rows())));
  }
  nn::Matrix<float> components = components_of(centred_rows(input.train, mean));
  const Pca plain(mean, components, ResidualScale(std::vector<float>(input.channels, 1.0F)));
  const auto energies_of = [&](const nn::Matrix<float>& windows, double& loss) {
    std::vector<std::vector<double>> all;
    for (Index row = 0; row < windows.rows(); ++row) {
      all.push_back(plain.energies({windows.data() + row * windows.cols(), d}));
      for (const double energy : all.back()) {
        loss += energy / static_cast<double>(input.channels) / static_cast<double>(windows.rows());
      }
    }
    return all;
  };
  energies_of(input.train, input.report.train_loss);
  ResidualScale residual =
      ResidualScale::of(energies_of(input.validation, input.report.validation_loss));
  input.report.epochs = 1;
  return std::unique_ptr<Member>(
      std::make_unique<Pca>(std::move(mean), std::move(components), std::move(residual)));
}

Result<std::unique_ptr<Member>> load_pca(const MemberFile& file) {
  const std::size_t channels = file.info.channels.size();
  const std::size_t d = file.info.window_samples * channels;
  const auto found = file.tensors.tensors.find("pca.components");
  const std::size_t k = found == file.tensors.tensors.end() || found->second.shape.empty()
                            ? 0
                            : found->second.shape[0];
  if (k > static_cast<std::size_t>(kMaxComponents)) {
    return Error{ErrorCode::kCorrupt, "tensor \"pca.components\": " + std::to_string(k) +
                                          " components, expected at most " +
                                          std::to_string(kMaxComponents)};
  }
  const auto components = member_tensor(file.tensors, "pca.components", {k, d});
  if (!components.ok()) return components.error();
  const auto mean = member_tensor(file.tensors, "pca.mean", {d});
  if (!mean.ok()) return mean.error();
  const Result<ResidualScale> residual = load_residual(file.tensors, "pca.residual", channels);
  if (!residual.ok()) return residual.error();
  nn::Matrix<float> rows(static_cast<Index>(k), static_cast<Index>(d));
  std::copy(components.value().begin(), components.value().end(), rows.data());
  return std::unique_ptr<Member>(
      std::make_unique<Pca>(std::vector<float>(mean.value().begin(), mean.value().end()),
                            std::move(rows), residual.value()));
}

}  // namespace anomalyd::detect
