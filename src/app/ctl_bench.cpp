#include "app/ctl_bench.h"

#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "app/ctl_bench_nn.h"
#include "app/version.h"

namespace anomalyd::app::ctl {
namespace {

/// The reference net's windows, and others: many channels, few, long and short.
constexpr nn::Shape kReference{128, 3};
constexpr nn::Shape kOthers[] = {{64, 38}, {512, 1}, {256, 8}};

struct BenchFigures {
  std::vector<InferenceFigures> inference;  // the best instruction set's reference first
  std::vector<TrainingFigures> training;
  double load_ms = 0;
  double allocations = 0;
};

std::string percent(double share) { return short_number(share * 100, 3) + " %"; }

void print_text(const BenchFigures& figures, std::ostream& out) {
  Table inference({{"set"},
                   {"window"},
                   {"peak GFLOP/s", Table::Align::kRight},
                   {"batch 1 us", Table::Align::kRight},
                   {"GFLOP/s", Table::Align::kRight},
                   {"of peak", Table::Align::kRight},
                   {"batch 64 us/window", Table::Align::kRight},
                   {"GFLOP/s", Table::Align::kRight},
                   {"of peak", Table::Align::kRight}});
  for (const InferenceFigures& f : figures.inference) {
    inference.add({f.instruction_set,
                   std::to_string(f.input.channels) + " x " + std::to_string(f.input.samples),
                   short_number(f.peak_gflops, 4), short_number(f.batch1_us, 3),
                   short_number(f.batch1_gflops, 3), percent(f.batch1_share),
                   short_number(f.batch64_us, 3), short_number(f.batch64_gflops, 3),
                   percent(f.batch64_share)});
  }
  inference.print(out);
  out << '\n';
  Table training({{"training, batch 64"},
                  {"steps/s", Table::Align::kRight},
                  {"steps/CPU-s", Table::Align::kRight}});
  for (const TrainingFigures& f : figures.training) {
    training.add({std::to_string(f.threads) + (f.threads == 1 ? " thread" : " threads"),
                  short_number(f.steps_per_second, 3),
                  f.threads == 1 ? short_number(f.steps_per_cpu_second, 3) : ""});
  }
  training.print(out);
  out << "\nload and compile  " << short_number(figures.load_ms, 3) << " ms\n"
      << "heap allocations a score  " << short_number(figures.allocations, 3) << '\n';
}

nlohmann::ordered_json json_of(const BenchFigures& figures) {
  const InferenceFigures& best = figures.inference.front();
  nlohmann::ordered_json json;
  json["version"] = kVersion;
  json["instruction_set"] = best.instruction_set;
  json["peak_gflops"] = best.peak_gflops;
  json["inference_batch64_gflops"] = best.batch64_gflops;
  json["inference_batch64_us"] = best.batch64_us;
  json["inference_batch1_us"] = best.batch1_us;
  json["training_steps_per_second"] = figures.training.front().steps_per_second;
  json["allocations_per_score"] = figures.allocations;
  json["load_ms"] = figures.load_ms;
  for (const InferenceFigures& f : figures.inference) {
    json["inference"].push_back({{"instruction_set", f.instruction_set},
                                 {"channels", f.input.channels},
                                 {"samples", f.input.samples},
                                 {"peak_gflops", f.peak_gflops},
                                 {"batch1_us", f.batch1_us},
                                 {"batch1_gflops", f.batch1_gflops},
                                 {"batch1_share_of_peak", f.batch1_share},
                                 {"batch64_us", f.batch64_us},
                                 {"batch64_gflops", f.batch64_gflops},
                                 {"batch64_share_of_peak", f.batch64_share}});
  }
  for (const TrainingFigures& f : figures.training) {
    json["training"].push_back({{"threads", f.threads},
                                {"steps_per_second", f.steps_per_second},
                                {"steps_per_cpu_second", f.steps_per_cpu_second}});
  }
  return json;
}

/// The chosen instruction sets, the fastest first.
Result<std::vector<nn::Kernels<float>>> chosen_kernels(const std::string& name) {
  std::vector<nn::Kernels<float>> chosen;
  std::string known;
  for (const nn::Kernels<float>& kernels : nn::float_kernels()) {
    known += (known.empty() ? "" : ", ") + std::string(kernels.name);
    if (name.empty() || name == kernels.name) chosen.insert(chosen.begin(), kernels);
  }
  if (!chosen.empty()) return chosen;
  return Error{ErrorCode::kUnsupported,
               "instruction set \"" + name + "\" is not on this machine, which has " + known};
}

Result<BenchFigures> measure(const BenchOptions& options, Progress& progress) {
  auto kernels = chosen_kernels(options.instruction_set);
  if (!kernels.ok()) return kernels.error();
  auto reference = bench_network(kReference);
  if (!reference.ok()) return reference.error();
  if (!options.out.empty()) {
    const Status status = nn::write_tensor_file(options.out, bench_export(reference.value()));
    if (!status.ok()) return status.error();
  }
  BenchFigures figures;
  const auto infer = [&](const nn::Network<float>& network) {
    for (const nn::Kernels<float>& each : kernels.value()) {
      progress.update([&] { return "scoring with " + std::string(each.name); });
      figures.inference.push_back(measure_inference(network, each, options.seconds));
    }
  };
  infer(reference.value());
  for (const nn::Shape shape : kOthers) {
    const auto network = bench_network(shape);
    if (!network.ok()) return network.error();
    infer(network.value());
  }
  progress.update([] { return std::string("training"); });
  figures.training.push_back(measure_training(reference.value(), 1, options.seconds));
  if (options.threads > 1) {
    figures.training.push_back(
        measure_training(reference.value(), options.threads, options.seconds));
  }
  figures.load_ms = measure_load(reference.value());
  figures.allocations = measure_allocations(reference.value(), options.allocations);
  return figures;
}

}  // namespace

int bench_nn(const BenchOptions& options, Console& console) {
  if (options.threads < 1 || options.threads > 256) {
    return fail(console,
                {ErrorCode::kInvalidArgument,
                 "--threads: expected 1 to 256, got " + std::to_string(options.threads)},
                kUsage);
  }
  if (!(options.seconds > 0 && options.seconds <= 60)) {
    return fail(
        console,
        {ErrorCode::kInvalidArgument,
         "--seconds: expected more than 0 and at most 60, got " + short_number(options.seconds, 6)},
        kUsage);
  }
  Progress progress(console);
  const Result<BenchFigures> figures = measure(options, progress);
  progress.finish();
  if (!figures.ok()) return fail(console, figures.error());
  if (options.json) {
    console.out << json_of(figures.value()).dump(2) << '\n';
  } else {
    print_text(figures.value(), console.out);
  }
  return kOk;
}

}  // namespace anomalyd::app::ctl
