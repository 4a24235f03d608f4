//! The tasks of a role.

use smol::LocalExecutor;
use std::pin::Pin;

/// What is done beside others.
pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Tasks of one thread; those that were started end with it.
#[derive(Default)]
pub(super) struct Tasks(LocalExecutor<'static>);

impl Tasks {
    /// Starts a task that nobody waits for.
    pub(super) fn start(&self, task: impl Future<Output = ()> + 'static) {
        // All tasks are of one type for the executor, so that there is one of it in the executable.
        let task: Task = Box::pin(task);
        self.0.spawn(task).detach();
    }

    /// Runs the tasks until the future is done.
    pub(super) async fn run<T>(&self, until: impl Future<Output = T>) -> T {
        self.0.run(until).await
    }
}
