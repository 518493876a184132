#include "nn/loss.h"

#include <cmath>
#include <string>

#include "base/check.h"

namespace anomalyd::nn {
namespace {

/// Sums value(y - t) and writes slope(y - t), each over the number of elements.
template <class Scalar, class Value, class Slope>
double mean_over(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy,
                 const Value& value, const Slope& slope) {
  ANOMALYD_CHECK(y.rows() == t.rows() && y.cols() == t.cols() && y.size() > 0,
                 "loss: y and t must have one shape");
  dy.resize(y.rows(), y.cols());
  const auto size = static_cast<double>(y.size());
  double sum = 0;
  for (Eigen::Index i = 0; i < y.size(); ++i) {
    const double error = static_cast<double>(y.data()[i]) - static_cast<double>(t.data()[i]);
    sum += value(error);
    dy.data()[i] = static_cast<Scalar>(slope(error) / size);
  }
  return sum / size;
}

/// -1, 0 or 1; NaN stays.
double sign(double e) { return e > 0 ? 1 : (e < 0 ? -1 : e); }

}  // namespace

template <class Scalar>
double mean_squared_error(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy) {
  return mean_over(
      y, t, dy, [](double e) { return e * e; }, [](double e) { return 2 * e; });
}

template <class Scalar>
double mean_absolute_error(const Matrix<Scalar>& y, const Matrix<Scalar>& t, Matrix<Scalar>& dy) {
  return mean_over(
      y, t, dy, [](double e) { return std::abs(e); }, [](double e) { return sign(e); });
}

template <class Scalar>
double huber(const Matrix<Scalar>& y, const Matrix<Scalar>& t, double delta, Matrix<Scalar>& dy) {
  ANOMALYD_CHECK(delta > 0 && std::isfinite(delta), "huber: delta must be above 0");
  return mean_over(
      y, t, dy,
      [delta](double e) {
        const double size = std::abs(e);
        return size <= delta ? 0.5 * e * e : delta * (size - 0.5 * delta);
      },
      [delta](double e) { return std::abs(e) <= delta ? e : delta * sign(e); });
}

Result<PointwiseLoss> PointwiseLoss::make(std::string_view name, double delta) {
  PointwiseLoss loss;
  if (name == "squared") {
    loss.kind = Kind::kSquared;
  } else if (name == "absolute") {
    loss.kind = Kind::kAbsolute;
  } else if (name == "huber") {
    loss.kind = Kind::kHuber;
  } else {
    return Error{ErrorCode::kUnsupported, "loss: unknown name \"" + std::string(name) +
                                              "\", expected squared, absolute or huber"};
  }
  if (!(delta > 0) || !std::isfinite(delta)) {
    return Error{ErrorCode::kInvalidArgument,
                 "loss: delta is " + std::to_string(delta) + ", expected a number above 0"};
  }
  loss.delta = delta;
  return loss;
}

std::string_view PointwiseLoss::name() const {
  switch (kind) {
    case Kind::kAbsolute:
      return "absolute";
    case Kind::kHuber:
      return "huber";
    case Kind::kSquared:
      break;
  }
  return "squared";
}

template <class Scalar>
double PointwiseLoss::operator()(const Matrix<Scalar>& y, const Matrix<Scalar>& t,
                                 Matrix<Scalar>& dy) const {
  switch (kind) {
    case Kind::kAbsolute:
      return mean_absolute_error(y, t, dy);
    case Kind::kHuber:
      return huber(y, t, delta, dy);
    case Kind::kSquared:
      break;
  }
  return mean_squared_error(y, t, dy);
}

template double mean_squared_error<float>(const Matrix<float>&, const Matrix<float>&,
                                          Matrix<float>&);
template double mean_squared_error<double>(const Matrix<double>&, const Matrix<double>&,
                                           Matrix<double>&);
template double mean_absolute_error<float>(const Matrix<float>&, const Matrix<float>&,
                                           Matrix<float>&);
template double mean_absolute_error<double>(const Matrix<double>&, const Matrix<double>&,
                                            Matrix<double>&);
template double huber<float>(const Matrix<float>&, const Matrix<float>&, double, Matrix<float>&);
template double huber<double>(const Matrix<double>&, const Matrix<double>&, double,
                              Matrix<double>&);
template double PointwiseLoss::operator()<float>(const Matrix<float>&, const Matrix<float>&,
                                                 Matrix<float>&) const;
template double PointwiseLoss::operator()<double>(const Matrix<double>&, const Matrix<double>&,
                                                  Matrix<double>&) const;

}  // namespace anomalyd::nn
