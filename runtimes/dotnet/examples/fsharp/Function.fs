namespace Raffle

open System
open System.Threading.Tasks
open Amazon.Lambda.Core
open Amazon.Lambda.Serialization.SystemTextJson

[<assembly: LambdaSerializer(typeof<DefaultLambdaJsonSerializer>)>]
do ()

type Request = { Buyer: string }

type Ticket = { Buyer: string; Number: int; Booth: Guid }

/// Each clone is a booth of its own, and draws other numbers.
type Function() =
    // Made once, at publish. Nobody gave it a seed, so each clone goes on with another one.
    let random = Random()
    let mutable booth = Guid.Empty

    do
        SnapshotRestore.RegisterBeforeSnapshot(fun () ->
            // Once through the work: what it loads and compiles is then in the snapshot.
            random.Next() |> ignore
            ValueTask.CompletedTask)

        SnapshotRestore.RegisterAfterRestore(fun () ->
            booth <- Guid.NewGuid()
            ValueTask.CompletedTask)

    /// A handler that waits returns Task, which `task` makes. Lambda does not wait for an `async`.
    member _.FunctionHandler(request: Request, context: ILambdaContext) : Task<Ticket> =
        task {
            context.Logger.LogInformation $"a ticket for {request.Buyer}"
            do! Task.Yield()

            return
                { Buyer = request.Buyer
                  Number = random.Next 1_000_000
                  Booth = booth }
        }
