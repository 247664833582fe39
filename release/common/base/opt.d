release/common/base/opt.o: common/base/opt.c common/base/opt.h \
  common/base/err.h common/base/mem.h common/base/nearest.h \
  common/base/opt_impl.h common/base/yaml.h

common/base/opt.h:

common/base/err.h:

common/base/mem.h:

common/base/nearest.h:

common/base/opt_impl.h:

common/base/yaml.h:
