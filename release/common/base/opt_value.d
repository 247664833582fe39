release/common/base/opt_value.o: common/base/opt_value.c \
  common/base/mem.h common/base/err.h common/base/opt_impl.h \
  common/base/opt.h

common/base/mem.h:

common/base/err.h:

common/base/opt_impl.h:

common/base/opt.h:
