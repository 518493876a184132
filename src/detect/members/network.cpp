#include "detect/members/network.h"

#include <cmath>
#include <limits>

namespace anomalyd::detect {
namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

constexpr float kDiscriminatorWeight = 1;

constexpr StreamMemberRow kDiscriminatorRow{"discriminator", "what does not look real", false, true,
                                            nullptr};

class StreamDiscriminator final : public StreamMember {
 public:
  explicit StreamDiscriminator(std::shared_ptr<const Discriminator> model)
      : model_(std::move(model)) {}

  float follow(const History& history) override {
    if (history.run() < model_->samples()) {
      score_ = kNone;
    } else if (std::isnan(score_) || history.count() % kNetworkStep == 0) {
      score_ = model_->score(window_of(history));
    }
    return score_;
  }

  void learn(const History& /*history*/, std::size_t /*back*/, std::size_t /*clean*/) override {}
  void interrupt() override { score_ = kNone; }

  void shares(const History& history, std::span<double> channels) const override {
    std::fill(channels.begin(), channels.end(), 1.0 / static_cast<double>(channels.size()));
    if (history.run() < model_->samples()) return;
    const std::vector<double> energies = model_->energies(window_of(history));
    double total = 0;
    for (const double energy : energies) total += energy;
    if (!(total > 0)) return;
    for (std::size_t c = 0; c < channels.size(); ++c) channels[c] = energies[c] / total;
  }

  std::size_t span() const override { return model_->samples(); }
  std::size_t context() const override { return model_->samples(); }
  std::size_t bytes() const override { return sizeof *this; }
  double operations() const override { return model_->flops() / static_cast<double>(kNetworkStep); }
  void archive(Archive& archive) override { archive(score_); }
  MadeMember clone() const override { return std::make_unique<StreamDiscriminator>(*this); }

 private:
  std::vector<float> window_of(const History& history) const {
    const std::size_t samples = model_->samples();
    const std::size_t channels = model_->channels();
    std::vector<float> window(samples * channels);
    for (std::size_t c = 0; c < channels; ++c) {
      const float* from = history.last(c, samples);
      for (std::size_t i = 0; i < samples; ++i) window[i * channels + c] = from[i];
    }
    return window;
  }

  std::shared_ptr<const Discriminator> model_;
  float score_ = kNone;
};

}  // namespace

TrainedMember stream_discriminator(std::shared_ptr<const Discriminator> model) {
  return {&kDiscriminatorRow,
          [model = std::move(model)] { return std::make_unique<StreamDiscriminator>(model); },
          kDiscriminatorWeight};
}

}  // namespace anomalyd::detect
