package io.sealward.client;

/** A source of bearer tokens (JWT). It is asked before each attempt of a call, so it should remember a token until the token expires. */
@FunctionalInterface
public interface TokenSource {
    /**
     * Returns the token, without the word {@code Bearer}.
     *
     * @param refresh whether the server has refused the last token of this call: get a new one, even if the last one hasn't expired
     * @throws Exception if there is no token. The call then fails, with this exception as the cause.
     */
    String token(boolean refresh) throws Exception;
}
