#include "ops/driver/loader.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace tfcass {
namespace {

constexpr char kStub[] = "ops/testing/stub_driver.so";  // Has every function.
constexpr char kNotADriver[] = "libm.so.6";

class LoaderTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("TFCASS_DRIVER");
    SetDriverHint("");
  }
};

bool Contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_F(LoaderTest, LoadsTheExplicitPath) {
  const LoadedDriver driver = LoadDriver(kStub);
  ASSERT_NE(driver.api, nullptr) << driver.error;
  EXPECT_EQ(driver.error, "");
  EXPECT_EQ(driver.api->path, kStub);
  EXPECT_NE(driver.api->cass_session_execute, nullptr);
}

TEST_F(LoaderTest, LoadsAPathOnce) { EXPECT_EQ(LoadDriver(kStub).api, LoadDriver(kStub).api); }

TEST_F(LoaderTest, TakesTheEnvironmentBeforeTheHint) {
  setenv("TFCASS_DRIVER", kStub, 1);
  SetDriverHint(kNotADriver);
  const LoadedDriver driver = LoadDriver("");
  ASSERT_NE(driver.api, nullptr) << driver.error;
  EXPECT_EQ(driver.api->path, kStub);
}

TEST_F(LoaderTest, TakesTheHintLast) {
  SetDriverHint(kStub);
  const LoadedDriver driver = LoadDriver("");
  ASSERT_NE(driver.api, nullptr) << driver.error;  // From the system's library, on a machine that has one.
}

TEST_F(LoaderTest, OneErrorListsEveryPlaceAndTheWaysToProvideOne) {
  SetDriverHint("/nowhere/cyacsylla.so");
  const LoadedDriver driver = LoadDriver("");
  if (driver.api != nullptr) GTEST_SKIP() << "this machine has a libcassandra.so.2";
  EXPECT_TRUE(Contains(driver.error, "TFCASS_DRIVER: not set")) << driver.error;
  EXPECT_TRUE(Contains(driver.error, "the system's library: libcassandra.so.2: cannot open shared object file"))
      << driver.error;
  EXPECT_TRUE(Contains(driver.error, "the acsylla wheel: /nowhere/cyacsylla.so: cannot open shared object file"))
      << driver.error;
  EXPECT_TRUE(Contains(driver.error, "pip install 'tfcass[driver]'")) << driver.error;
  EXPECT_TRUE(Contains(driver.error, "set TFCASS_DRIVER to the path")) << driver.error;
}

TEST_F(LoaderTest, SaysThatTheWheelIsNotInstalled) {
  const LoadedDriver driver = LoadDriver("");
  if (driver.api != nullptr) GTEST_SKIP() << "this machine has a libcassandra.so.2";
  EXPECT_TRUE(Contains(driver.error, "the acsylla wheel: not installed")) << driver.error;
}

TEST_F(LoaderTest, DoesNotReplaceAPathThatWasAskedFor) {
  SetDriverHint(kStub);
  const LoadedDriver asked = LoadDriver("/nowhere/libcassandra.so");
  EXPECT_EQ(asked.api, nullptr);
  EXPECT_TRUE(Contains(asked.error, "the option driver_path: /nowhere/libcassandra.so")) << asked.error;

  setenv("TFCASS_DRIVER", "/nowhere/too.so", 1);
  const LoadedDriver environment = LoadDriver("");
  EXPECT_EQ(environment.api, nullptr);
  EXPECT_TRUE(Contains(environment.error, "TFCASS_DRIVER: /nowhere/too.so")) << environment.error;
}

TEST_F(LoaderTest, RefusesALibraryThatIsNoDriver) {
  const LoadedDriver driver = LoadDriver(kNotADriver);
  EXPECT_EQ(driver.api, nullptr);
  EXPECT_TRUE(
      Contains(driver.error, "libm.so.6: has no function cass_cluster_new, so it is not the DataStax C/C++ driver 2.x"))
      << driver.error;
}

}  // namespace
}  // namespace tfcass
