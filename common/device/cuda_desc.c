/* Words for cuDNN's descriptors: the first failure stays, and what follows does nothing. */
#include <stdio.h>

#include "common/device/cuda_graph_impl.h"

enum { CUDNN_TEXT_MAX = 384 };

enum rc cuda_desc_raise(cudnnStatus_t s, const char *what, struct err *e)
{
    char text[CUDNN_TEXT_MAX] = "";

    cudnnGetLastErrorString(text, sizeof text);
    return err_raise(e, s == CUDNN_STATUS_ALLOC_FAILED ? RC_NOMEM : RC_LIB, "cuDNN: %s: %s%s%s",
                     what, cudnnGetErrorString(s), text[0] != 0 ? ": " : "", text);
}

bool cuda_desc_failed(struct cuda_desc *b, cudnnStatus_t s, const char *what)
{
    if (b->rc == RC_OK && s != CUDNN_STATUS_SUCCESS) {
        b->rc = cuda_desc_raise(s, what, b->e);
    }
    return b->rc != RC_OK;
}

desc_ptr cuda_desc_make(struct cuda_desc *b, cudnnBackendDescriptorType_t type)
{
    desc_ptr d = NULL;

    if (b->rc != RC_OK) {
        return NULL;
    }
    if (b->n_owned == CUDA_OWNED_MAX) {
        b->rc =
            err_raise(b->e, RC_LIB, "cuDNN: a graph of more than %d descriptors", CUDA_OWNED_MAX);
        return NULL;
    }
    if (!cuda_desc_failed(b, cudnnBackendCreateDescriptor(type, &d), "create a descriptor")) {
        b->owned[b->n_owned++] = d;
    }
    return d;
}

void cuda_desc_set(struct cuda_desc *b, desc_ptr d, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, int64_t count, const void *value)
{
    if (b->rc == RC_OK) {
        char what[48];

        (void)snprintf(what, sizeof what, "set attribute %d", (int)name);
        cuda_desc_failed(b, cudnnBackendSetAttribute(d, name, type, count, value), what);
    }
}

void cuda_desc_set_desc(struct cuda_desc *b, desc_ptr d, cudnnBackendAttributeName_t name,
                        desc_ptr value)
{
    cuda_desc_set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

void cuda_desc_finalize(struct cuda_desc *b, desc_ptr d, const char *what)
{
    if (b->rc == RC_OK) {
        cuda_desc_failed(b, cudnnBackendFinalize(d), what);
    }
}

void cuda_desc_release(struct cuda_desc *b)
{
    while (b->n_owned > 0) {
        cudnnBackendDestroyDescriptor(b->owned[--b->n_owned]);
    }
}

void cuda_desc_keep(struct cuda_desc *b, desc_ptr d)
{
    for (int i = 0; i < b->n_owned; i++) {
        if (b->owned[i] == d) {
            b->owned[i] = b->owned[--b->n_owned];
            return;
        }
    }
}
