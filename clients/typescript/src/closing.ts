/** The end of a client. Not an AbortSignal: Node warns about more than ten listeners of one, and each running call is a listener. */
export class Closing {
  readonly #listeners = new Set<() => void>();
  #isClosed = false;

  /** Whether the program has closed the client. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Closes the client: running calls end, and new calls fail. */
  close(): void {
    this.#isClosed = true;
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls `listener` at the close. Returns a function that removes it. */
  onClose(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
