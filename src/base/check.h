#pragma once

#include <cstdio>
#include <cstdlib>

/// Aborts with file, line and `what` when `condition` is false, in every build type.
/// For our own bugs only: nothing that arrives from a file, a socket or a config may reach it.
#define ANOMALYD_CHECK(condition, what)                                                      \
  do {                                                                                       \
    if (!(condition)) {                                                                      \
      std::fprintf(stderr, "%s:%d: check failed: %s (%s)\n", __FILE__, __LINE__, #condition, \
                   what);                                                                    \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)
