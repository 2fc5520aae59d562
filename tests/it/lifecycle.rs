//! The walk, from catalog to clean-up.

use rules::event::Event;

use crate::desk::Desk;

#[tokio::test(start_paused = true)]
async fn the_example_walks_from_catalog_to_clean_up() {
    let mut desk = Desk::example().await;

    desk.run_until_over(30).await;

    println!("{}", desk.story().await);
    println!("{:?}", desk.sandbox.azure.calls());
    assert_eq!(*desk.ailments.lock().unwrap(), Vec::<String>::new());
    for image in desk.images() {
        let events = desk.events(image.as_str()).await;
        let released = events.iter().any(|it| matches!(it, Event::RunReleased { .. }));
        assert!(released, "{image} was not released");
    }
}
