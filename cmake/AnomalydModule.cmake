# anomalyd_module(<name> HEADERS ... [SOURCES ...] [DEPENDS <modules>]
#                 [LIBRARIES <targets>] [PRIVATE_LIBRARIES <targets>])
#
# One static library anomalyd_<name> with alias anomalyd::<name>. DEPENDS is the whole
# list of modules that <name> may include; it links them, and records the edge for the
# `layering` test. A header listed in HEADERS is also compiled on its own
# (target all_verify_interface_header_sets).
function(anomalyd_module name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "HEADERS;SOURCES;DEPENDS;LIBRARIES;PRIVATE_LIBRARIES")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "anomalyd_module(${name}): unknown ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT arg_SOURCES)  # header-only modules still get a translation unit to lint
    file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/${name}_anchor.cpp" "")
    set(arg_SOURCES "${CMAKE_CURRENT_BINARY_DIR}/${name}_anchor.cpp")
  endif()
  add_library(anomalyd_${name} STATIC ${arg_SOURCES})
  add_library(anomalyd::${name} ALIAS anomalyd_${name})
  target_sources(anomalyd_${name} PUBLIC FILE_SET HEADERS
    BASE_DIRS "${PROJECT_SOURCE_DIR}/src" FILES ${arg_HEADERS})
  target_compile_features(anomalyd_${name} PUBLIC cxx_std_20)
  list(TRANSFORM arg_DEPENDS PREPEND "anomalyd::" OUTPUT_VARIABLE module_targets)
  target_link_libraries(anomalyd_${name}
    PUBLIC ${module_targets} ${arg_LIBRARIES} PRIVATE ${arg_PRIVATE_LIBRARIES} anomalyd_flags)
  set_target_properties(anomalyd_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  string(REPLACE ";" "," deps "${arg_DEPENDS}")
  set_property(GLOBAL APPEND PROPERTY ANOMALYD_LAYERS "${name}:${deps}")
endfunction()

# anomalyd_test(<name> SOURCES ... [DEPENDS <modules>] [LIBRARIES <targets>] [LABELS ...])
function(anomalyd_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPENDS;LIBRARIES;LABELS")
  add_executable(${name} ${arg_SOURCES})
  list(TRANSFORM arg_DEPENDS PREPEND "anomalyd::" OUTPUT_VARIABLE module_targets)
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests")
  target_compile_definitions(${name} PRIVATE
    ANOMALYD_SOURCE_DIR="${PROJECT_SOURCE_DIR}" ANOMALYD_BINARY_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE ${module_targets} ${arg_LIBRARIES}
    anomalyd_test_main anomalyd_flags)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABELS}" TIMEOUT 600)
endfunction()

# anomalyd_fuzzer(<name> SOURCE <file> [DEPENDS <modules>])
#
# `SOURCE` defines LLVMFuzzerTestOneInput. With ANOMALYD_FUZZ (clang) it is a libFuzzer
# program; otherwise it is linked with a small driver that replays the seeds under
# tests/fuzz/corpus/<name> and seeded mutations of them. Either way it runs for one second
# under ctest, label `fuzz`.
function(anomalyd_fuzzer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "SOURCE" "DEPENDS;LIBRARIES")
  set(corpus "${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name}")
  add_executable(fuzz_${name} ${arg_SOURCE})
  list(TRANSFORM arg_DEPENDS PREPEND "anomalyd::" OUTPUT_VARIABLE module_targets)
  target_link_libraries(fuzz_${name} PRIVATE ${module_targets} ${arg_LIBRARIES} anomalyd_flags)
  if(ANOMALYD_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    set(found "${CMAKE_CURRENT_BINARY_DIR}/found/${name}")
    file(MAKE_DIRECTORY "${found}")
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} -max_total_time=1 -timeout=10 "${found}" "${corpus}")
  else()
    target_sources(fuzz_${name} PRIVATE "${PROJECT_SOURCE_DIR}/tests/fuzz/driver.cpp")
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} "${corpus}")
  endif()
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  set_property(GLOBAL APPEND PROPERTY ANOMALYD_FUZZERS fuzz_${name})
endfunction()
