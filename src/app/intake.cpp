#include "app/intake.h"

#include <memory>
#include <utility>

#include "store/batch_codec.h"
#include "store/journal_segment.h"

namespace anomalyd::app {

Intake::Refused Intake::refused_by(const Error& error) {
  using Why = Refused::Why;
  const Why why = error.code == ErrorCode::kExhausted         ? Why::kDiskFull
                  : error.code == ErrorCode::kInvalidArgument ? Why::kTooLarge
                                                              : Why::kJournal;
  return {why, error.message};
}

void Intake::accept(SampleBatch batch, Answer answer) {
  // Before the batch is encoded for nothing.
  if (const auto trouble = journal_.trouble()) return answer(refused_by(*trouble));
  const std::size_t samples = batch.samples();
  if (Status room = dispatcher_.reserve(samples); !room.ok()) {
    return answer(Refused{Refused::Why::kQueueFull, room.error().message});
  }
  const auto shared = std::make_shared<const SampleBatch>(std::move(batch));
  std::string record = store::begin_record();
  store::encode_batch(*shared, record);
  const auto kept = [this, shared, samples, answer](const Result<std::uint64_t>& position) {
    if (position.ok()) {
      dispatcher_.dispatch(shared, position.value());
      answer({});
    } else {
      dispatcher_.release(samples);
      answer(refused_by(position.error()));
    }
  };
  if (Status taken = journal_.append(std::move(record), kept); !taken.ok()) {
    dispatcher_.release(samples);
    answer(refused_by(taken.error()));
  }
}

}  // namespace anomalyd::app
