#include "nn/loss_distance.h"

#include <cmath>
#include <string>
#include <utility>

#include "base/check.h"

namespace anomalyd::nn {
namespace {

using Eigen::Index;

double squared_distance(const double* x, const double* y, Index features) {
  double sum = 0;
  for (Index j = 0; j < features; ++j) sum += (x[j] - y[j]) * (x[j] - y[j]);
  return sum;
}

/// Returns weight k(x, y), and adds its gradient to dx and dy.
double add_pair(const RbfBank& bank, const double* x, const double* y, Index features,
                double weight, double* dx, double* dy) {
  const double squared = squared_distance(x, y, features);
  const double share = weight / static_cast<double>(bank.widths().size());
  double value = 0;
  double slope = 0;  // of the value along x - y, negated
  for (const double width : bank.widths()) {
    const double kernel = std::exp(-squared / (2 * width * width));
    value += share * kernel;
    slope += share * kernel / (width * width);
  }
  for (Index j = 0; j < features; ++j) {
    const double move = slope * (x[j] - y[j]);
    dx[j] -= move;
    dy[j] += move;
  }
  return value;
}

/// The mean of k over all pairs of rows of x, a row with itself included.
double add_within(const RbfBank& bank, const Matrix<double>& x, Matrix<double>& dx) {
  const auto rows = static_cast<double>(x.rows());
  double sum = 1 / rows;  // k(x_i, x_i) = 1, whose gradient is 0
  for (Index i = 0; i < x.rows(); ++i) {
    for (Index j = 0; j < i; ++j) {
      sum += add_pair(bank, x.row(i).data(), x.row(j).data(), x.cols(), 2 / (rows * rows),
                      dx.row(i).data(), dx.row(j).data());
    }
  }
  return sum;
}

}  // namespace

Result<RbfBank> RbfBank::make(std::vector<double> widths) {
  if (widths.empty() || widths.size() > kMaxWidths) {
    return Error{ErrorCode::kInvalidArgument, "rbf bank: " + std::to_string(widths.size()) +
                                                  " widths, expected 1 to " +
                                                  std::to_string(kMaxWidths)};
  }
  for (const double width : widths) {
    if (!(width > 0) || !std::isfinite(width)) {
      return Error{ErrorCode::kInvalidArgument,
                   "rbf bank: a width is " + std::to_string(width) + ", expected a number above 0"};
    }
  }
  return RbfBank(std::move(widths));
}

template <class Scalar>
Result<RbfBank> RbfBank::around(const Matrix<Scalar>& a, const Matrix<Scalar>& b,
                                std::size_t count) {
  const Index rows = a.rows() + b.rows();
  if (a.cols() != b.cols() || rows < 2) {
    return Error{ErrorCode::kInvalidArgument,
                 "rbf bank: " + std::to_string(rows) + " rows of " + std::to_string(a.cols()) +
                     " and " + std::to_string(b.cols()) +
                     " features, expected two rows of one width or more"};
  }
  if (count < 1 || count > kMaxWidths) {
    return Error{ErrorCode::kInvalidArgument, "rbf bank: count is " + std::to_string(count) +
                                                  ", expected 1 to " + std::to_string(kMaxWidths)};
  }
  Matrix<double> all(rows, a.cols());
  all << a.template cast<double>(), b.template cast<double>();
  double sum = 0;
  for (Index i = 0; i < rows; ++i) {
    for (Index j = 0; j < i; ++j) {
      sum += squared_distance(all.row(i).data(), all.row(j).data(), all.cols());
    }
  }
  const double mean = 2 * sum / (static_cast<double>(rows) * static_cast<double>(rows - 1));
  if (!(mean > 0) || !std::isfinite(mean)) {
    return Error{ErrorCode::kInvalidArgument, "rbf bank: the rows' mean squared distance is " +
                                                  std::to_string(mean) +
                                                  ", expected a finite number above 0"};
  }
  std::vector<double> widths;
  for (std::size_t q = 0; q < count; ++q) {
    const int power = static_cast<int>(q) - static_cast<int>(count / 2);
    widths.push_back(std::sqrt(std::ldexp(mean, power) / 2));
  }
  return make(std::move(widths));
}

template <class Scalar>
double maximum_mean_discrepancy(const Matrix<Scalar>& a, const Matrix<Scalar>& b,
                                const RbfBank& bank, Matrix<Scalar>& da, Matrix<Scalar>& db) {
  ANOMALYD_CHECK(a.cols() == b.cols() && a.size() > 0 && b.size() > 0,
                 "maximum_mean_discrepancy: a and b must have rows of one width");
  const Matrix<double> x = a.template cast<double>();
  const Matrix<double> y = b.template cast<double>();
  Matrix<double> dx = Matrix<double>::Zero(x.rows(), x.cols());
  Matrix<double> dy = Matrix<double>::Zero(y.rows(), y.cols());
  double loss = add_within(bank, x, dx) + add_within(bank, y, dy);
  const double weight = -2 / (static_cast<double>(x.rows()) * static_cast<double>(y.rows()));
  for (Index i = 0; i < x.rows(); ++i) {
    for (Index j = 0; j < y.rows(); ++j) {
      loss += add_pair(bank, x.row(i).data(), y.row(j).data(), x.cols(), weight, dx.row(i).data(),
                       dy.row(j).data());
    }
  }
  da = dx.template cast<Scalar>();
  db = dy.template cast<Scalar>();
  return loss;
}

template <class Scalar>
double coral(const Matrix<Scalar>& a, const Matrix<Scalar>& b, Matrix<Scalar>& da,
             Matrix<Scalar>& db) {
  ANOMALYD_CHECK(a.cols() == b.cols() && a.cols() > 0 && a.rows() > 1 && b.rows() > 1,
                 "coral: a and b must have two rows or more of one width");
  Matrix<double> x = a.template cast<double>();
  Matrix<double> y = b.template cast<double>();
  x.rowwise() -= RowVector<double>(x.colwise().mean());
  y.rowwise() -= RowVector<double>(y.colwise().mean());
  const auto x_free = static_cast<double>(x.rows() - 1);
  const auto y_free = static_cast<double>(y.rows() - 1);
  const Matrix<double> difference = (x.transpose() * x) / x_free - (y.transpose() * y) / y_free;
  const auto features = static_cast<double>(a.cols());
  // A row's own share of the mean gives nothing: the rows of x sum to 0.
  da = (x * difference / (features * features * x_free)).template cast<Scalar>();
  db = (y * difference / (-features * features * y_free)).template cast<Scalar>();
  return difference.squaredNorm() / (4 * features * features);
}

template <class Scalar>
double feature_matching(const Matrix<Scalar>& real, const Matrix<Scalar>& fake,
                        Matrix<Scalar>& dfake) {
  ANOMALYD_CHECK(real.cols() == fake.cols() && real.size() > 0 && fake.size() > 0,
                 "feature_matching: real and fake must have rows of one width");
  RowVector<double> gap = RowVector<double>::Zero(real.cols());
  RowVector<double> made = gap;
  for (Index i = 0; i < real.rows(); ++i) gap += real.row(i).template cast<double>();
  for (Index i = 0; i < fake.rows(); ++i) made += fake.row(i).template cast<double>();
  gap /= static_cast<double>(real.rows());
  gap -= made / static_cast<double>(fake.rows());
  const auto features = static_cast<double>(real.cols());
  const RowVector<double> slope = gap * (-2 / (features * static_cast<double>(fake.rows())));
  dfake = slope.template cast<Scalar>().replicate(fake.rows(), 1);
  return gap.squaredNorm() / features;
}

template Result<RbfBank> RbfBank::around<float>(const Matrix<float>&, const Matrix<float>&,
                                                std::size_t);
template Result<RbfBank> RbfBank::around<double>(const Matrix<double>&, const Matrix<double>&,
                                                 std::size_t);
template double maximum_mean_discrepancy<float>(const Matrix<float>&, const Matrix<float>&,
                                                const RbfBank&, Matrix<float>&, Matrix<float>&);
template double maximum_mean_discrepancy<double>(const Matrix<double>&, const Matrix<double>&,
                                                 const RbfBank&, Matrix<double>&, Matrix<double>&);
template double coral<float>(const Matrix<float>&, const Matrix<float>&, Matrix<float>&,
                             Matrix<float>&);
template double coral<double>(const Matrix<double>&, const Matrix<double>&, Matrix<double>&,
                              Matrix<double>&);
template double feature_matching<float>(const Matrix<float>&, const Matrix<float>&, Matrix<float>&);
template double feature_matching<double>(const Matrix<double>&, const Matrix<double>&,
                                         Matrix<double>&);

}  // namespace anomalyd::nn
