package io.sealward.client;

import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.function.Function;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * All records of a list. Iterating makes a call for each page, so it can throw a {@link SealwardException}; after that, the iterator asks for
 * the same page again.
 *
 * <p>The pages aren't a snapshot: a record that is created, changed or deleted between two calls may be missing. An unchanged record appears
 * exactly once.
 *
 * @param <R> the records
 */
public final class Pages<R> implements Iterable<R> {
    private final String firstToken;
    private final Function<String, Page<R>> fetch;

    <P> Pages(String firstToken, Function<String, P> fetch, Function<P, List<R>> records, Function<P, String> nextToken) {
        this.firstToken = firstToken;
        this.fetch = token -> {
            P page = fetch.apply(token);
            return new Page<>(records.apply(page), nextToken.apply(page));
        };
    }

    /** Returns an iterator that begins with the first page. */
    @Override
    public Iterator<R> iterator() {
        return new RecordIterator();
    }

    /** Returns the records as a sequential stream. */
    public Stream<R> stream() {
        return StreamSupport.stream(spliterator(), false);
    }

    private final class RecordIterator implements Iterator<R> {
        private Iterator<R> page = List.<R>of().iterator();
        /** The token of the next page; null after the last one. */
        private String token = firstToken;

        @Override
        public boolean hasNext() {
            while (!page.hasNext() && token != null) {
                Page<R> fetched = fetch.apply(token);
                page = fetched.records.iterator();
                token = fetched.nextToken.isEmpty() ? null : fetched.nextToken;
            }
            return page.hasNext();
        }

        @Override
        public R next() {
            if (!hasNext()) {
                throw new NoSuchElementException();
            }
            return page.next();
        }
    }

    private static final class Page<R> {
        private final List<R> records;
        private final String nextToken;

        Page(List<R> records, String nextToken) {
            this.records = records;
            this.nextToken = nextToken;
        }
    }
}
