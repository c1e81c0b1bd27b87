/**
 * The Java client of Sealward, a service for records with encrypted attributes.
 *
 * <p>{@link io.sealward.client.SealwardClient} has a client for each service, and each of them has a blocking and an asynchronous method for
 * each rpc. Messages are in {@code io.sealward.v1} and {@code io.sealward.mail.v1}. A failed call throws a
 * {@link io.sealward.client.SealwardException}.
 */
package io.sealward.client;
