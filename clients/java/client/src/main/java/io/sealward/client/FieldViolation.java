package io.sealward.client;

import java.io.Serializable;

/** A violation in a request. */
public final class FieldViolation implements Serializable {
    private static final long serialVersionUID = 1;

    private final String field;
    private final String description;
    private final String reason;

    FieldViolation(String field, String description, String reason) {
        this.field = field;
        this.description = description;
        this.reason = reason;
    }

    /** Returns the field, as a path from the request: {@code mailbox.display_name}. */
    public String field() {
        return field;
    }

    /** Returns the description, for people. */
    public String description() {
        return description;
    }

    /** Returns the machine-readable reason, such as {@code TOO_LONG} or the reason of an entity's rule. Can be empty. */
    public String reason() {
        return reason;
    }

    @Override
    public String toString() {
        return field + ": " + description + (reason.isEmpty() ? "" : " (" + reason + ")");
    }
}
