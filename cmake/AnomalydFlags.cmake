# anomalyd_flags: the language level, warnings and sanitizers of our own code.
# Linked PRIVATE by every module and test, so third-party headers never see it.
add_library(anomalyd_flags INTERFACE)
target_compile_features(anomalyd_flags INTERFACE cxx_std_20)
target_compile_options(anomalyd_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion
  -Wnon-virtual-dtor -Woverloaded-virtual -Wold-style-cast -Wimplicit-fallthrough
  -ffp-contract=off  # the same bits in every preset and on every machine
  $<$<BOOL:${ANOMALYD_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # g++ 12 warns falsely inside std::string's operator+ (GCC bugs 105329 and 105651), at link time
  # too when that optimises.
  target_compile_options(anomalyd_flags INTERFACE -Wno-restrict -Wno-stringop-overflow)
  target_link_options(anomalyd_flags INTERFACE -Wno-restrict -Wno-stringop-overflow)
endif()
if(ANOMALYD_ARCH)
  target_compile_options(anomalyd_flags INTERFACE -march=${ANOMALYD_ARCH})
endif()
if(ANOMALYD_FUZZ)
  # What libFuzzer is guided by; the fuzzers alone link its main.
  target_compile_options(anomalyd_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(ANOMALYD_SANITIZE)
  target_compile_options(anomalyd_flags INTERFACE
    -fsanitize=${ANOMALYD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(anomalyd_flags INTERFACE -fsanitize=${ANOMALYD_SANITIZE})
  if(ANOMALYD_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ 12 warns on every use of atomic_thread_fence, which Asio's headers hold.
    target_compile_options(anomalyd_flags INTERFACE -Wno-tsan)
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND ANOMALYD_SANITIZE MATCHES "undefined")
    # clang 14 cannot emit this one check for coroutines.
    target_compile_options(anomalyd_flags INTERFACE -fno-sanitize=function)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Instrumented code confuses g++ 12's flow analysis inside libstdc++ and Eigen.
    target_compile_options(anomalyd_flags INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()
