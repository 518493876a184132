#include <cmath>
#include <string>

#include "detect/member.h"
#include "signals.h"
#include "support/catch.h"

namespace anomalyd::detect {
namespace {

nn::TensorFile saved(const Member& member) {
  nn::TensorFile file;
  member.save(file);
  return file;
}

std::unique_ptr<Member> fit(const nn::Matrix<float>& train, std::size_t channels) {
  FitOptions options;
  FitReport report;
  return fit_pca({train, train, channels, options, report}).value();
}

TEST_CASE("PCA of a line finds its direction and scores the distance from it", "[detect][pca]") {
  // One channel, two samples, along (3, 4) / 5 around (1, 1), with a whisker across it.
  nn::Matrix<float> train(40, 2);
  for (int i = 0; i < 40; ++i) {
    const double along = i - 19.5;
    const double across = i % 2 == 0 ? 0.5 : -0.5;
    train(i, 0) = static_cast<float>(1 + 0.6 * along - 0.8 * across);
    train(i, 1) = static_cast<float>(1 + 0.8 * along + 0.6 * across);
  }
  const auto pca = fit(train, 1);
  const nn::TensorFile file = saved(*pca);
  const auto& direction = file.tensors.at("pca.components");
  REQUIRE(direction.shape == std::vector<std::size_t>{1, 2});
  CHECK(std::abs(direction.values[0]) == Approx(0.6).margin(0.01));
  CHECK(direction.values[0] * direction.values[1] == Approx(0.48).margin(0.01));
  CHECK(file.tensors.at("pca.mean").values[0] == Approx(1));

  // At distance 2 across: energy 4 / 2 samples, and usually 0.25 / 2.
  nn::Matrix<float> window(1, 2);
  window << 1 - 1.6F, 1 + 1.2F;
  float score = 0;
  const StreamState none;
  const StreamState* const states[] = {&none};
  pca->score(window, states, {&score, 1});
  CHECK(score == Approx(16).epsilon(0.02));
  const MemberExplanation why = pca->explain(none, row_of(window, 0));
  CHECK(why.expected[0] == Approx(1).margin(0.05));
  CHECK(why.energies[0] == Approx(static_cast<double>(score)).epsilon(1e-6));
}

TEST_CASE("PCA spans the same subspace from either Gram matrix", "[detect][pca]") {
  // The same windows in 2 samples are few columns; as 64 they are more than there are rows.
  const auto few = machine(40, 32, 3);    // 40 rows of 64: rows' Gram matrix
  const auto many = machine(400, 32, 3);  // 400 rows of 64: columns' Gram matrix
  for (const auto* windows : {&few, &many}) {
    FitOptions options = options_of("pca", NormaliserKind::kDomain);
    nn::Matrix<float> scaled = *windows;
    for (Eigen::Index i = 0; i < scaled.size(); ++i) {
      scaled.data()[i] =
          i % 2 == 0 ? (scaled.data()[i] - 9.81F) / 0.3F : (scaled.data()[i] + 200.0F) / 40.0F;
    }
    const nn::TensorFile file = saved(*fit(scaled, 2));
    const auto& tensor = file.tensors.at("pca.components");
    // Eight harmonics and their phases, whatever the noise: few components, orthonormal.
    CHECK(tensor.shape[0] <= 10);
    for (std::size_t a = 0; a < tensor.shape[0]; ++a) {
      for (std::size_t b = 0; b <= a; ++b) {
        double dot = 0;
        for (std::size_t i = 0; i < 64; ++i) {
          dot += static_cast<double>(tensor.values[a * 64 + i]) *
                 static_cast<double>(tensor.values[b * 64 + i]);
        }
        CHECK(dot == Approx(a == b ? 1 : 0).margin(1e-5));
      }
    }
  }
}

TEST_CASE("PCA of windows that never change expects just them", "[detect][pca]") {
  const nn::Matrix<float> train = nn::Matrix<float>::Zero(30, 8);
  const auto pca = fit(train, 2);
  nn::Matrix<float> window = nn::Matrix<float>::Zero(1, 8);
  window(0, 3) = 1;
  float score = 0;
  const StreamState none;
  const StreamState* const states[] = {&none};
  pca->score(window, states, {&score, 1});
  CHECK(score == Approx(0.25 / ResidualScale::kFloor / 2));  // the floor, not an infinity
}

}  // namespace
}  // namespace anomalyd::detect
