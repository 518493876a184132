#include "store/folder_lock.h"

#include "support/catch.h"
#include "support/ctl_files.h"

namespace anomalyd::store {
namespace {

TEST_CASE("A folder is kept for one at a time", "[store][lock]") {
  const testing::TemporaryFolder folder;
  const std::filesystem::path path = folder.path() / "made" / "here";
  auto first = FolderLock::take(path);
  REQUIRE(first.ok());
  const auto second = FolderLock::take(path);
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().code == ErrorCode::kUnavailable);
  CHECK(second.error().message == (path / "lock").string() + ": another anomalyd uses this folder");
  {
    const FolderLock moved = std::move(first).value();
    CHECK_FALSE(FolderLock::take(path).ok());
  }
  CHECK(FolderLock::take(path).ok());
  CHECK_FALSE(FolderLock::take(path / "lock").ok());  // a file
}

}  // namespace
}  // namespace anomalyd::store
