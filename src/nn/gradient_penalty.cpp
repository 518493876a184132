#include "nn/gradient_penalty.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "nn/random.h"

namespace anomalyd::nn {

using Eigen::Index;

Result<GradientPenaltyOptions> GradientPenaltyOptions::make(Kind kind, double weight, double step) {
  if (!(weight >= 0) || !std::isfinite(weight)) {
    return Error{ErrorCode::kInvalidArgument, "gradient penalty: weight is " +
                                                  std::to_string(weight) +
                                                  ", expected a finite number of 0 or more"};
  }
  if (!(step > 0) || !std::isfinite(step)) {
    return Error{ErrorCode::kInvalidArgument, "gradient penalty: step is " + std::to_string(step) +
                                                  ", expected a finite number above 0"};
  }
  return GradientPenaltyOptions{kind, weight, step};
}

template <class Scalar>
Status GradientPenalty<Scalar>::check(const Network<Scalar>& critic) {
  for (const Node<Scalar>& node : critic.nodes()) {
    if (node.layer->sums() > 0) {
      return Error{ErrorCode::kInvalidArgument,
                   "gradient penalty: layer " + node.name +
                       " makes the rows of a batch depend on each other; expected a critic "
                       "without (layer norm or spectral norm instead of batch norm)"};
    }
  }
  return Done{};
}

template <class Scalar>
double GradientPenalty<Scalar>::add(Network<Scalar>& critic, const Matrix<Scalar>& x,
                                    std::uint64_t seed, std::span<Scalar> gradient) {
  ANOMALYD_CHECK(x.rows() > 0, "gradient penalty: no rows");
  ANOMALYD_CHECK(gradient.size() == critic.weights().size(),
                 "gradient penalty: gradient must be as the critic's weights");
  ANOMALYD_CHECK(check(critic).ok(), "gradient penalty: the critic's rows are coupled");
  const auto count = static_cast<double>(x.rows());
  buffers_.assign(critic.buffers().begin(), critic.buffers().end());
  at_.forward(critic, x, Mode::kTraining, seed);
  const Index outputs = at_.output().cols();
  dy_.setConstant(x.rows(), outputs, static_cast<Scalar>(1.0 / static_cast<double>(outputs)));
  heads_.assign(critic.heads(), nullptr);
  heads_[0] = &dy_;
  at_.backward(heads_, Wanted::kInput);

  const bool is_zero_centred = options_.kind == GradientPenaltyOptions::Kind::kZeroCentred;
  const Matrix<Scalar>& slope = at_.input_gradient();
  slopes_.resize(static_cast<std::size_t>(x.rows()));
  double loss = 0;
  for (Index i = 0; i < x.rows(); ++i) {
    double squared = 0;
    for (Index j = 0; j < x.cols(); ++j) {
      squared += static_cast<double>(slope(i, j)) * static_cast<double>(slope(i, j));
    }
    const double s = std::sqrt(squared);
    slopes_[static_cast<std::size_t>(i)] = s;
    loss += is_zero_centred ? 0.5 * squared : (s - 1) * (s - 1);
  }
  add_side(critic, x, 1, seed, gradient);
  add_side(critic, x, -1, seed, gradient);
  return options_.weight * loss / count;
}

/// Adds the gradient of sum over rows of sign p'(s) / (2 h n) D(x + sign h u).
template <class Scalar>
void GradientPenalty<Scalar>::add_side(Network<Scalar>& critic, const Matrix<Scalar>& x,
                                       double sign, std::uint64_t seed,
                                       std::span<Scalar> gradient) {
  const bool is_zero_centred = options_.kind == GradientPenaltyOptions::Kind::kZeroCentred;
  const Matrix<Scalar>& slope = at_.input_gradient();
  side_.resize(x.rows(), x.cols());
  for (Index i = 0; i < x.rows(); ++i) {
    const double s = slopes_[static_cast<std::size_t>(i)];
    const double along = s == 0 ? 0 : sign * options_.step / s;
    for (Index j = 0; j < x.cols(); ++j) {
      side_(i, j) = static_cast<Scalar>(static_cast<double>(x(i, j)) +
                                        along * static_cast<double>(slope(i, j)));
    }
    const double push = options_.weight * (is_zero_centred ? s : 2 * (s - 1));
    const double share = 2 * options_.step * static_cast<double>(x.rows() * dy_.cols());
    dy_.row(i).setConstant(static_cast<Scalar>(s == 0 ? 0 : sign * push / share));
  }
  const auto put_back = [&] {
    std::copy(buffers_.begin(), buffers_.end(), critic.buffers().begin());
  };
  put_back();
  beside_.forward(critic, side_, Mode::kTraining, seed);
  beside_.backward(heads_, Wanted::kWeights);
  put_back();
  const std::span<const Scalar> added = beside_.gradient();
  for (std::size_t i = 0; i < gradient.size(); ++i) gradient[i] += added[i];
}

template <class Scalar>
void interpolate(const Matrix<Scalar>& real, const Matrix<Scalar>& fake, std::uint64_t seed,
                 Matrix<Scalar>& between) {
  ANOMALYD_CHECK(real.rows() == fake.rows() && real.cols() == fake.cols(),
                 "interpolate: real and fake must have one shape");
  between.resize(real.rows(), real.cols());
  for (Index i = 0; i < real.rows(); ++i) {
    std::mt19937_64 bits(derive_seed(seed, static_cast<std::uint64_t>(i)));
    const auto share = static_cast<Scalar>(unit_uniform(bits));
    between.row(i) = share * real.row(i) + (1 - share) * fake.row(i);
  }
}

template class GradientPenalty<float>;
template class GradientPenalty<double>;
template void interpolate<float>(const Matrix<float>&, const Matrix<float>&, std::uint64_t,
                                 Matrix<float>&);
template void interpolate<double>(const Matrix<double>&, const Matrix<double>&, std::uint64_t,
                                  Matrix<double>&);

}  // namespace anomalyd::nn
