#include "nn/product.h"

#include <vector>

#include "layer_check.h"

namespace anomalyd::nn {
namespace {

TEST_CASE("accumulate_product adds each product in ascending k, whatever the tile",
          "[nn][product]") {
  // Sizes that use every path: four rows, one row, eight columns, the rest.
  for (const Eigen::Index m : {1, 3, 4, 7}) {
    for (const Eigen::Index n : {1, 7, 8, 19}) {
      const Eigen::Index k = 11;
      const Matrix<double> a = random_matrix<double>(m, k, 1);
      const Matrix<double> b = random_matrix<double>(k, n, 2);
      Matrix<double> expected = random_matrix<double>(m, n, 3);
      Matrix<double> c = expected;
      accumulate_product<double>(m, k, n, a.data(), k, 1, b.data(), n, c.data(), n);
      for (Eigen::Index i = 0; i < m; ++i) {
        for (Eigen::Index j = 0; j < n; ++j) {
          double sum = expected(i, j);
          for (Eigen::Index l = 0; l < k; ++l) {
            const double product = a(i, l) * b(l, j);
            sum += product;
          }
          expected(i, j) = sum;
        }
      }
      CHECK(c == expected);
    }
  }
}

TEST_CASE("accumulate_product reads overlapping rows, and columns as rows", "[nn][product]") {
  const std::vector<double> series{1, 2, 3, 4, 5};
  const std::vector<double> weights{10, 1};  // (2, 1)
  std::vector<double> out(4, 0.5);
  accumulate_product<double>(4, 2, 1, series.data(), 1, 1, weights.data(), 1, out.data(), 1);
  CHECK(out == std::vector<double>{12.5, 23.5, 34.5, 45.5});

  const std::vector<double> matrix{1, 2, 3, 4};  // (2, 2): its transpose times (1, 1)
  const std::vector<double> ones{1, 1};
  std::vector<double> sums(2, 0.0);
  accumulate_product<double>(2, 2, 1, matrix.data(), 1, 2, ones.data(), 1, sums.data(), 1);
  CHECK(sums == std::vector<double>{4, 6});
}

TEST_CASE("accumulate_product gives the same bits for memory of any alignment",
          "[nn][product][determinism]") {
  constexpr Eigen::Index m = 6;
  constexpr Eigen::Index k = 13;
  constexpr Eigen::Index n = 18;
  const Matrix<double> a = random_matrix<double>(m, k, 4);
  const Matrix<double> b = random_matrix<double>(k, n, 5);
  Matrix<double> aligned = Matrix<double>::Zero(m, n);
  accumulate_product<double>(m, k, n, a.data(), k, 1, b.data(), n, aligned.data(), n);
  for (std::size_t shift = 1; shift < 8; ++shift) {
    std::vector<double> moved_a(m * k + shift);
    std::vector<double> moved_b(k * n + shift);
    std::vector<double> moved_c(m * n + shift, 0.0F);
    std::copy_n(a.data(), m * k, moved_a.data() + shift);
    std::copy_n(b.data(), k * n, moved_b.data() + shift);
    accumulate_product<double>(m, k, n, moved_a.data() + shift, k, 1, moved_b.data() + shift, n,
                               moved_c.data() + shift, n);
    CHECK(std::equal(aligned.data(), aligned.data() + m * n, moved_c.data() + shift));
  }
}

}  // namespace
}  // namespace anomalyd::nn
